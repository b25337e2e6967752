package certs_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wagglehq/waggle/pkg/certtest"
	"github.com/wagglehq/waggle/proxy/internal/certs"
)

func TestParse(t *testing.T) {
	root := certtest.Issue(t, certtest.Options{CA: true}, "Root")
	middle := certtest.Issue(t, certtest.Options{CA: true, By: &root}, "Middle")
	leaf := certtest.Issue(t, certtest.Options{By: &middle}, "A.example.com", "*.a.example.com", "a.example.com")
	rsa := certtest.Issue(t, certtest.Options{RSA: 2048}, "rsa.example.com")
	other := certtest.Self(t, "other.example.com")
	want := leaf.Cert + middle.Cert + leaf.Key
	for _, c := range []struct {
		name, text, want, fault string
	}{
		{name: "in order", text: leaf.Cert + middle.Cert + leaf.Key, want: want},
		{name: "key first, chain upside down", text: leaf.Key + middle.Cert + leaf.Cert, want: want},
		{name: "with the authority", text: root.Cert + middle.Cert + leaf.Cert + leaf.Key, want: leaf.Cert + middle.Cert + root.Cert + leaf.Key},
		{name: "the older form of the key", text: leaf.Cert + middle.Cert + leaf.PKCS1, want: want},
		{name: "words and parameters between", text: "subject=/CN=x\n" + leaf.Cert + "\r\n-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n" + middle.Cert + leaf.Key, want: want},
		{name: "line ends of Windows", text: strings.ReplaceAll(want, "\n", "\r\n"), want: want},
		{name: "one twice", text: leaf.Cert + leaf.Cert + middle.Cert + leaf.Key + leaf.Key, want: want},
		{name: "one that does not belong", text: leaf.Cert + other.Cert + middle.Cert + leaf.Key, want: want},
		{name: "RSA", text: rsa.Cert + rsa.PKCS1, want: rsa.Cert + rsa.Key},
		{name: "nothing", text: "", fault: "it is not PEM"},
		{name: "no PEM", text: "hello", fault: "it is not PEM"},
		{name: "no key", text: leaf.Cert + middle.Cert, fault: "it has no key"},
		{name: "no certificate", text: leaf.Key, fault: "it has no certificate"},
		{name: "a request for one", text: "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n", fault: "it has no certificate"},
		{name: "the key of another", text: leaf.Cert + other.Key, fault: "its key does not belong to its certificate"},
		{name: "two keys", text: leaf.Cert + leaf.Key + other.Key, fault: "it has two keys"},
		{name: "a broken certificate", text: "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n" + leaf.Key, fault: "a certificate in it cannot be read"},
		{name: "a broken key", text: leaf.Cert + "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", fault: "its key cannot be read"},
		{name: "a key of an unknown kind", text: leaf.Cert + "-----BEGIN DSA PRIVATE KEY-----\nAAAA\n-----END DSA PRIVATE KEY-----\n", fault: "its key cannot be read"},
		{name: "a key with a password", text: leaf.Cert + "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n", fault: "password"},
		{name: "a key with a password, as of old", text: leaf.Cert + "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n", fault: "password"},
		{name: "too much", text: strings.Repeat("x", certs.MaxBytes+1), fault: "bytes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := certs.Parse([]byte(c.text))
			if c.fault != "" {
				if err == nil || !strings.Contains(err.Error(), c.fault) {
					t.Errorf("got %v, want %q", err, c.fault)
				}
				return
			}
			if err != nil || got.PEM != c.want {
				t.Errorf("got %v\n%s\nwant\n%s", err, got.PEM, c.want)
			}
		})
	}
	got, err := certs.Parse([]byte(want))
	if err != nil || !slices.Equal(got.Names, []string{"a.example.com", "*.a.example.com"}) || got.Subject != "CN=A.example.com" || len(got.Fingerprint) != 40 {
		t.Errorf("got %q %q %q, %v", got.Names, got.Subject, got.Fingerprint, err)
	}
}

func TestNamesOfUploads(t *testing.T) {
	for name, want := range map[string]bool{
		"b.pem": true, "acme.com.combined.pem": true, "a_B-1": true, strings.Repeat("a", 200): true,
		"": false, "../cfg/x": false, "a/b": false, ".hidden": false, "a b": false, "a\nb": false, "=default": false,
		"ä.pem": false, strings.Repeat("a", 201): false, "a;b": false, "*": false, "#1": false,
	} {
		if err := certs.CheckName(name); (err == nil) != want {
			t.Errorf("%q: got %v", name, err)
		}
	}
}

// candidate is one of tests, whose certificate is for the hosts.
func candidate(t *testing.T, source certs.Source, name, service string, hosts ...string) certs.Candidate {
	t.Helper()
	c, err := certs.Parse([]byte(certtest.Self(t, hosts...).PEM()))
	if err != nil {
		t.Fatal(err)
	}
	return certs.Candidate{Name: name, Source: source, Service: service, Certificate: c}
}

// tell writes entries as "source name hosts", what is not served with the reason.
func tell(entries []certs.Entry) string {
	var b strings.Builder
	for _, e := range entries {
		b.WriteString(e.Key())
		if e.Default {
			b.WriteString(" default")
		}
		if e.Only != nil {
			b.WriteString(" only " + strings.Join(e.Only, ","))
		}
		if e.Reason != "" {
			b.WriteString(" not: " + e.Reason)
		}
		if e.Warning != "" {
			b.WriteString(" but: " + e.Warning)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func TestChoose(t *testing.T) {
	a, b := candidate(t, certs.File, "a.pem", "", "a.com"), candidate(t, certs.File, "b.pem", "", "b.com")
	secret := candidate(t, certs.Secret, "cert-0", "", "c.com")
	broken := certs.Candidate{Name: "0.pem", Source: certs.File, Err: errorText("it has no key")}
	shop := candidate(t, certs.Label, "a-shop.com", "shop", "a-shop.com", "www.a-shop.com")
	for _, c := range []struct {
		name       string
		candidates []certs.Candidate
		o          certs.Options
		want       string
	}{
		{"none", nil, certs.Options{}, ""},
		{"the first by name is the default", []certs.Candidate{b, secret, a}, certs.Options{}, "file a.pem default\nfile b.pem\nsecret cert-0\n"},
		{"preferred ones come first", []certs.Candidate{b, secret, a}, certs.Options{Preferred: []string{"x*", "cert*"}}, "secret cert-0 default\nfile a.pem\nfile b.pem\n"},
		{"a bad one harms no other", []certs.Candidate{broken, a}, certs.Options{}, "file a.pem default\nfile 0.pem not: it has no key\n"},
		{"bad ones alone", []certs.Candidate{broken}, certs.Options{Preferred: []string{"*"}}, "file 0.pem not: it has no key\n"},
		{"an upload comes before the file of its name", []certs.Candidate{a, candidate(t, certs.Upload, "a.pem", "", "new.com")}, certs.Options{},
			"upload a.pem default\nfile a.pem not: the upload of the same name comes before it\n"},
		{"a bad upload does not", []certs.Candidate{a, {Name: "a.pem", Source: certs.Upload, Err: errorText("sealed")}}, certs.Options{},
			"file a.pem default\nupload a.pem not: sealed\n"},
		{"one of a label is no default beside the operator's", []certs.Candidate{shop, b}, certs.Options{}, "file b.pem default\nlabel a-shop.com only a-shop.com,www.a-shop.com\n"},
		{"it is without one", []certs.Candidate{shop}, certs.Options{}, "label a-shop.com default only a-shop.com,www.a-shop.com\n"},
		{"HAProxy refuses one", []certs.Candidate{a, b}, certs.Options{Refused: func(pem string) error {
			if pem == a.PEM {
				return errorText("key too small")
			}
			return nil
		}}, "file b.pem default\nfile a.pem not: key too small\n"},
		{"a newer content is bad", []certs.Candidate{{Name: "a.pem", Source: certs.File, Certificate: a.Certificate, Problem: errorText("it has no key")}}, certs.Options{},
			"file a.pem default but: the content before is still served: it has no key\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.o.Now = time.Now()
			got := tell(certs.Choose(c.candidates, c.o))
			if got != c.want {
				t.Errorf("got\n%swant\n%s", got, c.want)
			}
			slices.Reverse(c.candidates)
			if again := tell(certs.Choose(c.candidates, c.o)); again != got {
				t.Errorf("in another order\n%s", again)
			}
		})
	}
}

type errorText string

func (e errorText) Error() string { return string(e) }

func TestAServiceGetsNoNamesOfOthers(t *testing.T) {
	operator := candidate(t, certs.File, "acme.pem", "", "acme.com")
	for _, c := range []struct {
		name  string
		hosts []string
		by    map[string][]string
		want  string
	}{
		{"its own", []string{"shop.com"}, map[string][]string{"shop.com": {"shop"}}, "only shop.com"},
		{"nobody's", []string{"shop.com"}, nil, "only shop.com"},
		{"shared", []string{"shop.com"}, map[string][]string{"shop.com": {"blog", "shop"}}, "only shop.com"},
		{"the operator's", []string{"shop.com", "acme.com"}, nil, "only shop.com but: the certificate acme.pem has acme.com before it"},
		{"another service's", []string{"bank.com"}, map[string][]string{"bank.com": {"bank"}}, "only  not: bank.com belongs to bank by its com.df.serviceDomain"},
		{"a wildcard over another's", []string{"*.bank.com", "shop.com"}, map[string][]string{"www.bank.com": {"bank"}}, "only shop.com but: www.bank.com belongs to bank by its com.df.serviceDomain"},
		{"below another's wildcard", []string{"www.bank.com"}, map[string][]string{"*.bank.com": {"bank"}}, "only  not: *.bank.com belongs to bank by its com.df.serviceDomain"},
		{"its own, below another's wildcard", []string{"www.bank.com"}, map[string][]string{"*.bank.com": {"bank"}, "www.bank.com": {"shop"}}, "only www.bank.com"},
		{"another's is deeper than the wildcard", []string{"*.bank.com"}, map[string][]string{"a.b.bank.com": {"bank"}, "bank.com": {"bank"}}, "only *.bank.com"},
		{"no host name", []string{"not a name"}, nil, "only  not: it has no host name"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := tell(certs.Choose([]certs.Candidate{operator, candidate(t, certs.Label, "shop.com", "shop", c.hosts...)}, certs.Options{Hosts: c.by, Now: time.Now()}))
			if want := "file acme.pem default\nlabel shop.com " + c.want + "\n"; got != want {
				t.Errorf("got\n%swant\n%s", got, want)
			}
		})
	}
}

// TestObtainedCertificates are for their own host alone, and come after all others for it; they are
// the default only where there is no other.
func TestObtainedCertificates(t *testing.T) {
	obtained := func(host string) certs.Candidate {
		c := candidate(t, certs.ACME, "acme-"+host, "", host)
		c.Host = host
		return c
	}
	operator, shop := candidate(t, certs.File, "z.pem", "", "a.com"), candidate(t, certs.Label, "shop", "shop", "b.com")
	got := tell(certs.Choose([]certs.Candidate{obtained("b.com"), obtained("c.com"), obtained("a.com"), shop, operator}, certs.Options{Now: time.Now()}))
	if want := "file z.pem default\nlabel shop only b.com\nacme acme-c.com only c.com\n" +
		"acme acme-a.com only  not: the certificate z.pem has a.com before it\nacme acme-b.com only  not: the certificate shop has b.com before it\n"; got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	if got, want := tell(certs.Choose([]certs.Candidate{obtained("c.com")}, certs.Options{Now: time.Now()})), "acme acme-c.com default only c.com\n"; got != want {
		t.Errorf("alone: got %q, want %q", got, want)
	}
}

func TestTimes(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	issue := func(from, until time.Time) certs.Candidate {
		c, err := certs.Parse([]byte(certtest.Issue(t, certtest.Options{NotBefore: from, NotAfter: until}, "a.com").PEM()))
		if err != nil {
			t.Fatal(err)
		}
		return certs.Candidate{Name: "a", Source: certs.File, Certificate: c}
	}
	over, soon := issue(now.Add(-2*time.Hour), now.Add(-time.Hour)), issue(now.Add(time.Hour), now.Add(2*time.Hour))
	if got, want := tell(certs.Choose([]certs.Candidate{over}, certs.Options{Now: now})), "file a not: it has expired at 2026-03-01T11:00:00Z\n"; got != want {
		t.Errorf("expired: got %q, want %q", got, want)
	}
	if got, want := tell(certs.Choose([]certs.Candidate{over}, certs.Options{Now: now, Kept: map[string]bool{over.PEM: true}})), "file a default but: it has expired at 2026-03-01T11:00:00Z\n"; got != want {
		t.Errorf("expired while it is served: got %q, want %q", got, want)
	}
	if got, want := tell(certs.Choose([]certs.Candidate{soon}, certs.Options{Now: now})), "file a default but: it is not valid before 2026-03-01T13:00:00Z\n"; got != want {
		t.Errorf("not valid yet: got %q, want %q", got, want)
	}
}

func TestPreferred(t *testing.T) {
	if got, err := certs.ParsePreferred(" b*, ,xyz.pem"); err != nil || !slices.Equal(got, []string{"b*", "xyz.pem"}) {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := certs.ParsePreferred("a[,b"); err == nil {
		t.Error("a broken pattern is taken")
	}
}

func TestFileNames(t *testing.T) {
	seen := map[string]bool{}
	for _, name := range []string{"a.pem", "A.pem", "a b", "ä", "../x", "=default", ""} {
		file := certs.Entry{Candidate: certs.Candidate{Name: name}}.FileName()
		if seen[file] || file == "=default" || strings.ContainsAny(file, "/ ") || file == "" {
			t.Errorf("%q: the file %q", name, file)
		}
		seen[file] = true
	}
}

// FuzzParse: whatever is read, nothing but PEM comes out, and it is read again as it is.
func FuzzParse(f *testing.F) {
	root := certtest.Issue(f, certtest.Options{CA: true}, "Root")
	leaf := certtest.Issue(f, certtest.Options{By: &root}, "a.com")
	f.Add([]byte(leaf.PEM()))
	f.Add([]byte(leaf.Key + root.Cert + leaf.Cert))
	f.Add([]byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := certs.Parse(data)
		if err != nil {
			if bytes.ContainsAny([]byte(err.Error()), "\n\r\x00") {
				t.Errorf("the fault has lines of its own: %q", err)
			}
			return
		}
		again, err := certs.Parse([]byte(c.PEM))
		if err != nil || again.PEM != c.PEM {
			t.Errorf("it is not read again: %v", err)
		}
		for _, n := range c.Names {
			if strings.ContainsAny(n, " \t\n[]!;\\'\"#") {
				t.Errorf("a name that means something in a list: %q", n)
			}
		}
	})
}
