package render

import (
	"cmp"
	"strconv"
	"strings"

	"github.com/haproxytech/client-native/v6/config-parser/types"

	"github.com/wagglehq/waggle/proxy/internal/haproxy/file"
)

// The fields of the log, as JSON. The path comes in canonical form, with path_sent if it
// came in another, and without the query, which may hold secrets, and the time in UTC.
const (
	logTime = `%{+json}o %(time)[date(0,ms),ms_utime("%Y-%m-%dT%H:%M:%S.%3NZ")]`
	logJSON = logTime + ` %(client)ci %(client_port:sint)cp %(frontend)f %(backend)b %(server)s %(method)HM %(host)[var(txn.host)]` +
		` %(path)[var(txn.path)] %(path_sent)[var(txn.sent)] %(version)HV %(tls)sslv %(status:sint)ST %(bytes:sint)B %(bytes_received:sint)U %(queue_ms:sint)Tw` +
		` %(connect_ms:sint)Tc %(response_ms:sint)Tr %(total_ms:sint)Ta %(retries:sint)rc %(termination)ts`
	logJSONError = logTime + ` %(client)ci %(client_port:sint)cp %(frontend)f %(error)[fc_err_str] %(tls_error)[ssl_fc_err_str]`
	// logTCP is logJSON for what is not HTTP.
	logTCP = logTime + ` %(client)ci %(client_port:sint)cp %(frontend)f %(backend)b %(server)s %(bytes:sint)B %(bytes_received:sint)U` +
		` %(queue_ms:sint)Tw %(connect_ms:sint)Tc %(total_ms:sint)Tt %(retries:sint)rc %(termination)ts`
)

// output is where lines of the log go.
func output() types.Log {
	return types.Log{Address: "stdout", Format: "raw", Facility: "local0", Level: "info"}
}

// logFormat is the line of a request; a captured User-Agent is the field
// "header_user_agent".
func (s Settings) logFormat() string {
	if s.LogFormat != "" {
		return file.Q(s.LogFormat).String()
	}
	text := logJSON
	for i, c := range s.Captures {
		text += " %(header_" + strings.ToLower(strings.ReplaceAll(c.Header, "-", "_")) + ")[" + captured(i) + "]"
	}
	return file.Q(text).String()
}

// streamLogFormat is the line of a connection that is not HTTP.
func (s Settings) streamLogFormat() string { return file.Q(cmp.Or(s.TCPLogFormat, logTCP)).String() }

// errorLogFormat is the line of a connection that failed before there was a request,
// such as a handshake.
func (s Settings) errorLogFormat() string {
	if s.LogFormat != "" {
		return ""
	}
	return file.Q(logJSONError).String()
}

// captured is the fetch of a captured header.
func captured(i int) string { return "capture.req.hdr(" + strconv.Itoa(i) + ")" }
