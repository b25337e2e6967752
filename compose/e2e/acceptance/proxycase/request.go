package proxycase

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// requestLimit bounds one request; the slowest upstream of a case answers earlier.
const requestLimit = 20 * time.Second

// request is what a client asks for.
type request struct {
	Method  string            `json:"m"`
	Path    string            `json:"u"`
	Host    string            `json:"host"`
	Scheme  string            `json:"s"`
	SNI     string            `json:"sni"`
	Port    int               `json:"port"`
	Headers map[string]string `json:"hd"`
	Auth    string            `json:"auth"`
	// Certificate is the file of the client's certificate.
	Certificate string `json:"cc"`

	// before is sent ahead of everything else, the TLS handshake included.
	before string
}

// complete fills in what was left out, and says what is wrong.
func (r *request) complete() error {
	if r.Method == "" {
		r.Method = http.MethodGet
	}
	if r.Host == "" {
		r.Host = "localhost"
	}
	if r.Scheme == "" {
		r.Scheme = "http"
	}
	if r.Port == 0 {
		r.Port = map[string]int{"http": 80, "https": 443}[r.Scheme]
	}
	switch {
	case r.Path == "":
		return errors.New("req: u, the path, is missing")
	case r.Port == 0:
		return fmt.Errorf("req: s is %q, want http or https", r.Scheme)
	case r.Scheme == "http" && (r.SNI != "" || r.Certificate != ""):
		return errors.New("req: sni and cc belong to s https")
	}
	return nil
}

// String is for the reason of a failure.
func (r *request) String() string {
	return fmt.Sprintf("%s %s://%s%s (port %d)", r.Method, r.Scheme, r.Host, r.Path, r.Port)
}

// Words that may stand for a status.
const (
	tlsFails        = "tls_fail"
	refusedOrNot200 = "refused_or_not200"
)

// expectation is what must come back. What is not given is not compared; a header
// that is null must be absent.
type expectation struct {
	Status   json.RawMessage    `json:"st"`
	Service  *string            `json:"svc"`
	Path     *string            `json:"path"`
	Location *string            `json:"loc"`
	Upstream map[string]*string `json:"up"`
	Response map[string]*string `json:"rh"`
	// CommonName is that of the certificate that the proxy presents.
	CommonName *string `json:"cert"`

	status int
	word   string
}

// complete reads the status.
func (e *expectation) complete() error {
	if json.Unmarshal(e.Status, &e.status) == nil && e.status >= 100 && e.status <= 599 {
		return nil
	}
	e.status = 0
	if json.Unmarshal(e.Status, &e.word) == nil && slices.Contains([]string{tlsFails, refusedOrNot200}, e.word) {
		return nil
	}
	return fmt.Errorf("req: st is %s, want a status, %s or %s", e.Status, tlsFails, refusedOrNot200)
}

// response is what came back.
type response struct {
	status     int
	header     http.Header
	body       []byte
	commonName string
	// seen is what the upstream saw, nil if none answered.
	seen *echo
}

// check makes the request and compares what comes back.
func (r *request) check(e expectation) attempt {
	return func(ctx context.Context, w *world) error {
		got, err := r.send(ctx, w.files)
		return e.compare(got, err)
	}
}

// compare returns everything that is not as expected, nil if all is.
func (e *expectation) compare(got response, err error) error {
	switch e.word {
	case tlsFails:
		var noTLS *handshakeError
		if errors.As(err, &noTLS) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("TLS, and then %w, want a handshake that fails", err)
		}
		return fmt.Errorf("status %d, want a TLS handshake that fails", got.status)
	case refusedOrNot200:
		if err == nil && got.status == http.StatusOK {
			return errors.New("status 200, want another or a refusal")
		}
		return nil
	}
	if err != nil {
		return fmt.Errorf("no response: %w", err)
	}
	var wrong []string
	differ := func(what, have, want string) {
		wrong = append(wrong, fmt.Sprintf("%s %q, want %q", what, have, want))
	}
	if got.status != e.status {
		wrong = append(wrong, fmt.Sprintf("status %d, want %d", got.status, e.status))
	}
	seen := got.upstream()
	if e.Service != nil && !is(seen.Service, *e.Service) {
		differ("upstream", seen.Service, *e.Service)
	}
	if e.Path != nil && seen.Path != *e.Path {
		differ("path at the upstream", seen.Path, *e.Path)
	}
	if e.Location != nil && got.header.Get("Location") != *e.Location {
		differ("Location", got.header.Get("Location"), *e.Location)
	}
	if e.CommonName != nil && got.commonName != *e.CommonName {
		differ("certificate", got.commonName, *e.CommonName)
	}
	if len(e.Upstream) > 0 && got.seen == nil {
		wrong = append(wrong, "no upstream told what it saw")
	} else {
		wrong = append(wrong, headers("header at the upstream", seen.Headers, e.Upstream)...)
	}
	flat := map[string]string{}
	for name, values := range got.header {
		flat[name] = strings.Join(values, ", ")
	}
	wrong = append(wrong, headers("response header", flat, e.Response)...)
	if len(wrong) > 0 {
		return errors.New(strings.Join(wrong, "; "))
	}
	return nil
}

// headers compares headers without regard to the case of their names.
func headers(what string, got map[string]string, want map[string]*string) []string {
	have := map[string]string{}
	for name, value := range got {
		have[http.CanonicalHeaderKey(name)] = value
	}
	var wrong []string
	for _, name := range slices.Sorted(maps.Keys(want)) {
		value, there := have[http.CanonicalHeaderKey(name)]
		switch w := want[name]; {
		case w == nil && there:
			wrong = append(wrong, fmt.Sprintf("%s %s is %q, want none", what, name, value))
		case w != nil && !there:
			wrong = append(wrong, fmt.Sprintf("%s %s is missing, want %q", what, name, *w))
		case w != nil && value != *w:
			wrong = append(wrong, fmt.Sprintf("%s %s is %q, want %q", what, name, value, *w))
		}
	}
	return wrong
}

// upstream is what the upstream saw. An answer without a body, as that to HEAD,
// still names who gave it.
func (r *response) upstream() echo {
	if r.seen != nil {
		return *r.seen
	}
	return echo{Service: r.header.Get("X-Backend")}
}

// handshakeError says that no TLS connection came about: nobody listens, the
// connection was closed, or one side did not like the other.
type handshakeError struct{ err error }

// Error is the reason.
func (e *handshakeError) Error() string { return "no TLS: " + e.err.Error() }

// Unwrap returns the reason.
func (e *handshakeError) Unwrap() error { return e.err }

// send makes the request on a connection of its own.
func (r *request) send(ctx context.Context, files map[string][]byte) (response, error) {
	ctx, cancel := context.WithTimeout(ctx, requestLimit)
	defer cancel()
	conn, err := r.dial(ctx, files)
	if err != nil {
		return response{}, err
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return response{}, err
		}
	}
	if _, err := io.WriteString(conn, r.text()); err != nil {
		return response{}, fmt.Errorf("send: %w", err)
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: r.Method})
	if err != nil {
		// With TLS 1.3 a server refuses the client's certificate after the handshake.
		var alert tls.AlertError
		if errors.As(err, &alert) {
			err = &handshakeError{err}
		}
		return response{}, err
	}
	defer res.Body.Close()
	out := response{status: res.StatusCode, header: res.Header}
	if secure, ok := conn.(*tls.Conn); ok {
		out.commonName = secure.ConnectionState().PeerCertificates[0].Subject.CommonName
	}
	if out.body, err = io.ReadAll(io.LimitReader(res.Body, 1<<20)); err != nil {
		return out, fmt.Errorf("the answer was cut: %w", err)
	}
	out.seen = described(out.header, out.body)
	return out, nil
}

// described returns what an upstream says it saw, nil if this is no such answer.
func described(h http.Header, body []byte) *echo {
	if h.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(bytes.NewReader(body))
		if err != nil {
			return nil
		}
		if body, err = io.ReadAll(io.LimitReader(z, 1<<20)); err != nil {
			return nil
		}
	}
	var e echo
	if json.Unmarshal(body, &e) != nil || e.Service == "" {
		return nil
	}
	return &e
}

// dial connects, and shakes hands where TLS is wanted.
func (r *request) dial(ctx context.Context, files map[string][]byte) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(r.Port)))
	if err != nil {
		if r.Scheme == "https" {
			err = &handshakeError{err}
		}
		return nil, err
	}
	if _, err := io.WriteString(conn, r.before); err != nil {
		conn.Close()
		return nil, err
	}
	if r.Scheme == "http" {
		return conn, nil
	}
	c := &tls.Config{InsecureSkipVerify: true, ServerName: r.SNI}
	if c.ServerName == "" {
		c.ServerName = hostOf(r.Host)
	}
	if r.Certificate != "" {
		pair, err := tls.X509KeyPair(files[r.Certificate], files[r.Certificate])
		if err != nil {
			conn.Close()
			return nil, fmt.Errorf("client certificate %s: %w", r.Certificate, err)
		}
		// It is sent even if the server asks for one of another CA.
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
	}
	secure := tls.Client(conn, c)
	if err := secure.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, &handshakeError{err}
	}
	return secure, nil
}

func hostOf(hostPort string) string {
	if host, _, err := net.SplitHostPort(hostPort); err == nil {
		return host
	}
	return hostPort
}

// text is the request as it is sent, with nothing in it that was not asked for but
// what HTTP demands and the end of the connection.
func (r *request) text() string {
	headers := http.Header{"Host": {r.Host}, "Connection": {"close"}}
	if r.Auth != "" {
		headers.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(r.Auth)))
	}
	if slices.Contains([]string{http.MethodPost, http.MethodPut, http.MethodPatch}, r.Method) {
		headers.Set("Content-Length", "0")
	}
	for name, value := range r.Headers {
		headers.Del(name)
		headers[name] = []string{value}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\n", r.Method, r.Path)
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		fmt.Fprintf(&b, "%s: %s\r\n", name, headers[name][0])
	}
	b.WriteString("\r\n")
	return b.String()
}
