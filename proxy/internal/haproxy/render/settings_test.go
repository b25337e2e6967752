package render

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/wagglehq/waggle/proxy/internal/haproxy/file"
	"github.com/wagglehq/waggle/proxy/internal/settings/edge"
	"github.com/wagglehq/waggle/proxy/internal/wish/route"
)

// everything has all settings at once, some with texts that must be quoted.
func everything(dir string) Settings {
	s := settings(dir)
	s.Binds = []edge.Bind{{Port: 80, AcceptProxy: true}, {Port: 443, TLS: true}, {Port: 8443, TLS: true, AcceptProxy: true}, {Port: 8085}}
	s.CertList = filepath.Join(dir, "the list")
	s.TLS = edge.TLS{H2: true, H3: true, MinVer: "TLSv1.2", MaxVer: "TLSv1.3", Options: []string{"no-tls-tickets"}, Ciphers: edge.DefaultCiphers, Ciphersuites: edge.DefaultCiphersuites, CAFile: filepath.Join(dir, "the ca")}
	s.Statistics = Statistics{Address: "127.0.0.1", Port: 8404, URI: "/admin?stats", User: "a'dm", Password: `p "w" # ${HOME} :x`}
	s.Challenges = true
	s.AccessLog, s.Captures = true, []edge.Capture{{Header: "User-Agent", Len: 64}, {Header: "X-Request-Id", Len: 20}}
	s.ConnectionMode, s.Compression = "http-server-close", Compression{Algo: "gzip", Types: []string{"text/plain", "application/json"}}
	for _, status := range edge.ErrorStatuses() {
		s.ErrorFiles = append(s.ErrorFiles, ErrorFile{status, filepath.Join(dir, fmt.Sprintf("the %d.http", status))})
	}
	s.ExtraGlobal = []string{"tune.http.maxhdr 120", "tune.comp.maxlevel 2"}
	s.ExtraFrontend = []string{"http-request set-header X-EF 1", "use_backend waggle_none if { path /never }"}
	s.MaxConn, s.HardStopAfter = 1000, time.Minute
	return s
}

// write puts what everything names into its folder.
func write(t *testing.T, s Settings) {
	t.Helper()
	files := map[string][]byte{s.CertList: nil, s.TLS.CAFile: authority(t)}
	if s.CertList != "" {
		files[filepath.Join(s.Dir, "a.pem")] = keyPair(t)
		files[s.CertList] = []byte(filepath.Join(s.Dir, "a.pem") + "\n")
	}
	for _, f := range s.ErrorFiles {
		files[f.Path] = fmt.Appendf(nil, "HTTP/1.0 %d Mine\r\nContent-Type: text/plain\r\n\r\nmine\n", f.Status)
	}
	for path, content := range files {
		if path == "" {
			continue
		}
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// settled is the part of a frame that follows from the settings alone.
func settled(r *Renderer) string {
	s := r.settings
	sections := append([]*file.Section{file.NewSection(s.Dir, "global", "", "", r.frame.global...)}, r.frame.sections...)
	return file.File{Frame: append(sections, file.NewSection(s.Dir, file.KindBackend, file.NoBackend, file.Defaults))}.Text()
}

// TestFrameOfAllSettings compares with testdata/settings.golden.
func TestFrameOfAllSettings(t *testing.T) {
	const golden = "testdata/settings.golden"
	r, err := NewRenderer(everything("/etc/waggle"))
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(golden, []byte(settled(r)), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if settled(r) != string(want) {
		t.Errorf("got\n%s\nwant\n%s", settled(r), want)
	}
}

// TestHAProxyAcceptsSettings: each alone and all together, without a warning.
func TestHAProxyAcceptsSettings(t *testing.T) {
	for name, change := range map[string]func(*Settings){
		"all":             func(*Settings) {},
		"no certificates": func(s *Settings) { s.CertList = "" },
		"only ports with TLS and no certificates": func(s *Settings) { s.CertList, s.Binds = "", []edge.Bind{{Port: 443, TLS: true}} },
		"no authorities":        func(s *Settings) { s.TLS.CAFile = "" },
		"no HTTP/2":             func(s *Settings) { s.TLS.H2 = false },
		"a format of one's own": func(s *Settings) { s.LogFormat = `{"a": "%ci", 'b' # %[var(txn.host)]}` },
		"no password":           func(s *Settings) { s.Statistics.User = "" },
		"limits of clients": func(s *Settings) {
			s.Clients = Clients{Connections: 100, Rate: &route.Limit{Requests: 50, Per: 10 * time.Second}}
		},
		"limits of clients alone": func(s *Settings) {
			s.Clients, s.Binds, s.TrustedProxies = Clients{Rate: &route.Limit{Requests: 50, Per: time.Minute}}, []edge.Bind{{Port: 8085}}, nil
		},
		"no statistics":      func(s *Settings) { s.Statistics.Port = 0 },
		"httpclose":          func(s *Settings) { s.ConnectionMode = "httpclose" },
		"compression of all": func(s *Settings) { s.Compression = Compression{Algo: "deflate"} },
	} {
		t.Run(name, func(t *testing.T) {
			s := everything(t.TempDir())
			change(&s)
			write(t, s)
			f, rejected := render(t, s, "web servicePath=/\nweb port=80\nweb srcPort=8085\nweb verifyClientSsl=true\n")
			if len(rejected) > 0 {
				t.Fatal(rejected)
			}
			if err := check(t, s, f); err != nil {
				t.Fatal(err)
			}
			if _, err := file.Parse(f.Text(), "/x"); err != nil {
				t.Errorf("what is written is not read again: %v", err)
			}
		})
	}
}

// TestClientsAreCountedBeforeAnythingElse is done for them: at every port, trusted proxies
// left out, and where a header of the PROXY protocol tells the client, behind that.
func TestClientsAreCountedBeforeAnythingElse(t *testing.T) {
	s := Settings{
		Dir: "/x", StatsSocket: "/run/s", Binds: []edge.Bind{{Port: 80}}, Timeouts: DefaultTimeouts(), TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.1/32")},
		Clients: Clients{Connections: 100, Rate: &route.Limit{Requests: 50, Per: 10 * time.Second}},
	}
	text := func() string {
		f, _ := render(t, s, "web reqMode=tcp\nweb port=80\nweb srcPort=5432\n")
		return f.Text()
	}
	got := text()
	for _, line := range []string{
		"backend waggle_clients from waggle\n  stick-table type ipv6 size 100000 expire 10s store conn_cur,conn_rate(10s)\n",
		"  tcp-request connection track-sc1 src,ipmask(32,64) table waggle_clients unless { src -m ip 10.0.0.1/32 }\n",
		"  tcp-request connection reject if { sc_conn_cur(1) gt 100 }\n",
		"  tcp-request connection reject if { sc_conn_rate(1) gt 50 }\n",
	} {
		want := 2 // ports of HTTP and of the stream
		if strings.HasPrefix(line, "backend") {
			want = 1
		}
		if n := strings.Count(got, line); n != want {
			t.Errorf("%d times %q in\n%s", n, line, got)
		}
	}
	s.Binds[0].AcceptProxy = true
	if got := text(); strings.Contains(got, "tcp-request connection track") || !strings.Contains(got, "tcp-request session track-sc1") {
		t.Errorf("behind the PROXY protocol:\n%s", got)
	}
	s.Clients = Clients{}
	if got := text(); strings.Contains(got, "sc1") || strings.Contains(got, clientsTable) {
		t.Errorf("without a limit:\n%s", got)
	}
}

// TestNoClearTextOnPortsWithTLS: without certificates they are not open at all.
func TestNoClearTextOnPortsWithTLS(t *testing.T) {
	s := everything("/x")
	s.CertList = ""
	r, err := NewRenderer(s)
	if err != nil {
		t.Fatal(err)
	}
	if text := settled(r); strings.Contains(text, ":443") || strings.Contains(text, ":8443") || strings.Contains(text, "ssl-default") {
		t.Errorf("a port with TLS is open without certificates:\n%s", text)
	}
}
