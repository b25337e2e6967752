package labels_test

import (
	"os"
	"strings"
	"testing"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/proxy/internal/wish/route/labels"
	"github.com/wagglehq/waggle/proxy/internal/wish/route/routetest"
)

// TestSlips: a label that was to keep somebody out and does not is a fault that names it;
// every other empty label is absent.
func TestSlips(t *testing.T) {
	for _, c := range []struct {
		name        string
		labels      []string
		fault, says string
	}{
		{"empty ones are absent", []string{"serviceDomain", "", "httpsOnly", "", "pathType", " ", "sessionType", "", "aclName", "", "serviceGroup", "", "weight", "", "timeoutServer", ""}, "", ""},
		{"more of them", []string{"setReqHeader", "", "servicePathExclude", "", "srcPort", "", "reqMode", "", "checkPath", "", "corsOrigins", "", "outboundHostname", "", "serviceCert", ""}, "", ""},
		{"an index that is empty is none", []string{"servicePath.2", "", "port.2", ""}, "", ""},
		{"empty addresses", []string{"allowedAddresses", ""}, "allowedAddresses", "let everybody in"},
		{"with a space", []string{"deniedAddresses", " "}, "deniedAddresses", "let everybody in"},
		{"empty users", []string{"users", ""}, "users", "let everybody in"},
		{"an empty secret", []string{"usersSecret", ""}, "usersSecret", "let everybody in"},
		{"an empty limit", []string{"rateLimit", ""}, "rateLimit", "let everybody in"},
		{"an empty word about certificates", []string{"verifyClientSsl", ""}, "verifyClientSsl", "let everybody in"},
		{"empty names of certificates", []string{"verifyClientSsl", "true", "clientNames", ""}, "clientNames", "let everybody in"},
		{"at an index", []string{"servicePath.1", "/a", "forwardAuth.1", ""}, "forwardAuth.1", "let everybody in"},
		{"at an index that leads nowhere", []string{"users.2", "u:p"}, "users.2", "no destination"},
		{"beside one that does", []string{"servicePath.1", "/a", "allowedAddresses.2", "10.0.0.0/8"}, "allowedAddresses.2", "no destination"},
		{"a letter too few", []string{"allowedAdresses", "10.0.0.0/8"}, "allowedAdresses", "com.df.allowedAddresses"},
		{"two too few", []string{"alowedAdresses.1", "10.0.0.0/8", "servicePath.1", "/a"}, "alowedAdresses.1", "com.df.allowedAddresses"},
		{"in another case", []string{"Users", "u:p"}, "Users", "com.df.users"},
		{"two letters the other way round", []string{"uesrs", "u:p"}, "uesrs", "com.df.users"},
		{"with a dash", []string{"rate-limit", "1/1s"}, "rate-limit", "com.df.rateLimit"},
		{"an index that is no number", []string{"users.0", "u:p"}, "users.0", "com.df.users"},
		{"an index without its dot", []string{"users1", "u:p"}, "users1", "com.df.users"},
		{"names that are somebody's", []string{"env", "prod", "metricType", "x", "xForwardedProto", "", "reqRepSearch", "a", "owner", "me", "aws", "y"}, "", ""},
		{"an authority that proves nothing", []string{"sslCa", "@system-ca"}, "sslCa", "com.df.sslServerName"},
		{"with a name it does", []string{"sslCa", "@system-ca", "sslServerName", "a.com"}, "", ""},
		{"a header of the connection", []string{"setReqHeader", "Transfer-Encoding chunked"}, "setReqHeader", "belong to the connection"},
		{"in an answer", []string{"addResHeader", "Content-Length 0"}, "addResHeader", "belong to the connection"},
		{"as the older word has it", []string{"setHeader", "content-length 5"}, "setHeader", "belong to the connection"},
		{"added to a request", []string{"addReqHeader", "Connection X-User"}, "addReqHeader", "belong to the connection"},
		{"with a condition", []string{"setReqHeader", "Upgrade h2c if { ssl_fc }"}, "setReqHeader", "belong to the connection"},
		{"one that says for how long", []string{"setResHeader", "Keep-Alive timeout=5"}, "setResHeader", "belong to the connection"},
		{"a length that is taken away", []string{"delReqHeader", "Content-Length"}, "delReqHeader", "where the body ends"},
		{"chunks that are taken away", []string{"delReqHeader", "X-A,transfer-encoding"}, "delReqHeader", "where the body ends"},
		{"what answers can do without", []string{"delResHeader", "Content-Length,Keep-Alive"}, "", ""},
		{"a protocol that is not to be changed", []string{"delReqHeader", "Upgrade"}, "", ""},
		{"the host is a service's own", []string{"setReqHeader", "Host a.com"}, "", ""},
		{"and by the older word", []string{"setHeader", "Host a.com"}, "", ""},
		{"a second host", []string{"addReqHeader", "Host a.com"}, "addReqHeader", "com.df.setReqHeader"},
		{"no host", []string{"delReqHeader", "host"}, "delReqHeader", "com.df.setReqHeader"},
		{"a replacement that ends the line", []string{"reqPathSearchReplace", `/a,/\x0d\x0aHost`}, "reqPathSearchReplace", "a path"},
		{"or asks for something else", []string{"reqPathSearch", "/a", "reqPathReplace", "/b?c"}, "reqPathReplace", "a path"},
		{"raw paths beside a guarded one", []string{"servicePath.1", "/a", "users.1", "u:p", "servicePath.2", "/", "rawPath.2", "true"}, "rawPath.2", "the same labels of access"},
		{"all alike", []string{"users", "u:p", "servicePath.1", "/a", "servicePath.2", "/", "rawPath.2", "true"}, "", ""},
		{"one path in two spellings", []string{"servicePath.1", "/a", "servicePath.2", "//%61"}, "servicePath.2", "already that of index 1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			finds(t, c.labels, opts, c.fault, c.says)
		})
	}
}

// TestNoLabelIsASlip: no label of any component is so near to one that decides who gets in.
func TestNoLabelIsASlip(t *testing.T) {
	page, err := os.ReadFile("../../../../../listener/internal/known/labels.txt")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for line := range strings.Lines(string(page)) {
		name, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		if name == "" || strings.HasPrefix(name, "#") {
			continue
		}
		n++
		_, err := labels.FromService(routetest.Service("web", 1, "servicePath", "/", "port", "80", strings.TrimPrefix(name, catalog.Prefix), "x"), opts)
		if err != nil && strings.Contains(err.Error(), "taken for a slip") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n < 50 {
		t.Errorf("the list has %d labels", n)
	}
}

// TestInheritedDomainOfStream: a domain without an index is for HTTP, if the service has any.
func TestInheritedDomainOfStream(t *testing.T) {
	for _, c := range []struct {
		name   string
		labels []string
		names  int
	}{
		{"beside HTTP", []string{"serviceDomain", "a.com", "servicePath", "/", "port.1", "80", "port.2", "5432", "srcPort.2", "5432", "reqMode.2", "tcp"}, 0},
		{"its own", []string{"port.1", "80", "servicePath.1", "/", "serviceDomain.2", "a.com", "port.2", "5432", "srcPort.2", "5432", "reqMode.2", "tcp"}, 1},
		{"with nothing else", []string{"serviceDomain", "a.com", "port", "5432", "srcPort", "5432", "reqMode", "tcp"}, 1},
	} {
		s, err := labels.FromService(routetest.Service("web", 1, c.labels...), opts)
		if err != nil || len(s.Streams) != 1 || len(s.Streams[0].Names) != c.names {
			t.Errorf("%s: %+v (%v), want %d names", c.name, s.Streams, err, c.names)
		}
	}
}
