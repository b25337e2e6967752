package labels_test

import (
	"strings"
	"testing"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/proxy/internal/wish/route"
	"github.com/wagglehq/waggle/proxy/internal/wish/route/labels"
)

// TestFaultsOfNewerLabels: each says which label is wrong, and what would be right.
func TestFaultsOfNewerLabels(t *testing.T) {
	for _, c := range []struct {
		name  string
		pairs []string
		fault string // empty: none
	}{
		{"a certificate", []string{"acme", "true", "acmeChallenge", "DNS"}, ""},
		{"neither yes nor no", []string{"acme", "please"}, `com.df.acme="please"`},
		{"another challenge", []string{"acmeChallenge", "tls"}, `com.df.acmeChallenge="tls": want one of http, dns`},
		{"a companion's labels reject nothing", []string{"letsencrypt.host", "a b;c", "letsencrypt.email", "nobody", "letsencrypt.testing", "perhaps"}, ""},
		{"HTTP/2", []string{"proto", "H2"}, ""},
		{"another version", []string{"proto", "h2c"}, `com.df.proto="h2c": want one of h1, h2`},
		{"a list of ports", []string{"srcPort", "80, 443"}, ""},
		{"one of them is none", []string{"srcPort", "80,x"}, `com.df.srcPort="x"`},
		{"bytes", []string{"maxBody", "10M"}, ""},
		{"no bytes", []string{"maxBody", "0"}, "com.df.maxBody"},
		{"more than there are", []string{"maxBody", "2000g"}, "com.df.maxBody"},
		{"who has signed in", []string{"userHeader", "X-User", "users", "a:b"}, ""},
		{"nobody signs in", []string{"userHeader", "X-User"}, "com.df.users"},
		{"a header of the connection", []string{"userHeader", "Authorization", "users", "a:b"}, "com.df.userHeader"},
		{"a cookie for pages in pages", []string{"sessionType", "sticky-server", "sessionSameSite", "None", "sessionSecure", "true"}, ""},
		{"one that browsers drop", []string{"sessionType", "sticky-server", "sessionSameSite", "None"}, "com.df.sessionSecure=true"},
		{"attributes of no cookie", []string{"sessionHttpOnly", "false"}, "com.df.sessionType"},
		{"clients by name", []string{"verifyClientSsl", "true", "clientNames", "shop, Jane Doe", "clientHeader", "X-Client-Name"}, ""},
		{"names that nobody proves", []string{"clientNames", "shop"}, "com.df.verifyClientSsl=true"},
		{"a header of a name that nobody proves", []string{"verifyClientSsl", "false", "clientHeader", "X-Client-Name"}, "com.df.verifyClientSsl=true"},
		{"variables of names that are not set", []string{"verifyClientSsl", "true", "clientNames", ","}, "com.df.clientNames"},
		{"a name that is too long", []string{"verifyClientSsl", "true", "clientNames", strings.Repeat("x", 65)}, "com.df.clientNames"},
		{"a name that would end a condition", []string{"verifyClientSsl", "true", "clientNames", "shop,}"}, "without braces"},
		{"a header of the connection for a name", []string{"verifyClientSsl", "true", "clientHeader", "TE"}, "com.df.clientHeader"},
		{"methods with dashes", []string{"allowedMethods", "M-SEARCH,VERSION-CONTROL"}, ""},
		{"what is no method", []string{"allowedMethods", "-GET"}, "com.df.allowedMethods"},
		{"variables that are not set", []string{"allowedMethods", ","}, "com.df.allowedMethods"},
		{"nothing that is denied", []string{"deniedMethods", " , "}, "com.df.deniedMethods"},
		{"methods of pages that are not said", []string{"corsOrigins", "*", "corsMethods", ","}, ""},
		{"a hash of htpasswd", []string{"usersPassEncrypted", "true", "users", "ann:$apr1$abcdefgh$h9FWgUz3n9YxylKLlR5SQ/"}, ""},
		{"bcrypt", []string{"usersPassEncrypted", "true", "users", "ann:$2y$10$m6CFU2DGeC91OLl.JkIiweRluPTzoabE12d/90907iOrv4mGSNpCS"}, ""},
		{"bcrypt that is too slow", []string{"usersPassEncrypted", "true", "users", "ann:$2y$11$m6CFU2DGeC91OLl.JkIiweRluPTzoabE12d/90907iOrv4mGSNpCS"}, "a cost of at most 10"},
		{"HTTP/2 of connections", []string{"reqMode", "tcp", "srcPort", "99", "proto", "h2"}, "com.df.proto"},
	} {
		t.Run(c.name, func(t *testing.T) {
			texts := map[string]string{catalog.Notify: "true", "com.df.port": "80", "com.df.servicePath": "/"}
			for i := 0; i < len(c.pairs); i += 2 {
				texts[catalog.Prefix+c.pairs[i]] = c.pairs[i+1]
			}
			_, err := labels.FromService(catalog.Service{ID: "i", Name: "web", Labels: texts}, labels.Options{})
			switch {
			case c.fault == "" && err != nil:
				t.Errorf("rejected: %v", err)
			case c.fault != "" && (err == nil || !strings.Contains(err.Error(), c.fault)):
				t.Errorf("%v, want a fault that says %s", err, c.fault)
			}
		})
	}
}

// TestEachEntryPortIsClaimed by itself, and who redirects to TLS is found without it.
func TestEachEntryPortIsClaimed(t *testing.T) {
	o := labels.Options{EntryPorts: []int{80, 443, 8080}, PlainPorts: []int{80, 8080}}
	claims := func(pairs ...string) string {
		texts := map[string]string{catalog.Notify: "true", "com.df.port": "80", "com.df.servicePath": "/a"}
		for i := 0; i < len(pairs); i += 2 {
			texts[catalog.Prefix+pairs[i]] = pairs[i+1]
		}
		svc, err := labels.FromService(catalog.Service{ID: "i", Name: "web", Labels: texts}, o)
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, c := range svc.Claims {
			out = append(out, c.Also)
		}
		return strings.Join(out, "; ")
	}
	for _, c := range []struct {
		pairs []string
		want  string
	}{
		{[]string{"srcPort", "8080,80"}, `port int "80"; port int "8080"`},
		{[]string{"srcPort", "443", "httpsOnly", "true"}, `port int "443"; port int "80" "8080", to be redirected`},
		{[]string{"srcPort", "443,80", "httpsOnly", "true"}, `port int "80"; port int "443"`},
		{[]string{"srcPort", "443"}, `port int "443"`},
		{[]string{"httpsPort", "81", "srcPort", "8080"}, `port int "443"; port int "8080"`},
	} {
		if got := claims(c.pairs...); got != c.want {
			t.Errorf("%v: %s, want %s", c.pairs, got, c.want)
		}
	}
	if r := (route.Stream{}); r.Shares() {
		t.Error("connections without a name share a port")
	}
}
