package render

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"math/big"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/tooltest"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/file"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/plan"
	"github.com/wagglehq/waggle/proxy/internal/settings/edge"
	"github.com/wagglehq/waggle/proxy/internal/wish/route"
	"github.com/wagglehq/waggle/proxy/internal/wish/route/claims"
	"github.com/wagglehq/waggle/proxy/internal/wish/route/labels"
)

var update = flag.Bool("update", false, "write the golden files anew")

func settings(dir string) Settings {
	return Settings{Dir: dir, StatsSocket: filepath.Join(dir, "s.sock"), WakeSocket: filepath.Join(dir, "wake.sock"), Binds: []edge.Bind{{Port: 80}}, Statistics: Statistics{Port: 8404, URI: "/"}, Timeouts: DefaultTimeouts()}
}

// readOptions are those with which the golden files are read.
func readOptions() labels.Options { return labels.Options{Ports: []int{80, 8404}} }

// readServices reads services whose labels stand in a file, one per line as
// "service label=text"; the first is the oldest.
func readServices(text string) []catalog.Service {
	services := map[string]*catalog.Service{}
	var order []*catalog.Service
	for line := range strings.Lines(text) {
		name, rest, ok := strings.Cut(strings.TrimRight(line, "\n"), " ")
		if !ok {
			continue
		}
		svc := services[name]
		if svc == nil {
			svc = &catalog.Service{ID: name, Name: name, CreatedAt: time.Unix(int64(len(order)), 0), Labels: map[string]string{catalog.Notify: "true"}}
			services[name] = svc
			order = append(order, svc)
		}
		key, value, _ := strings.Cut(rest, "=")
		svc.Labels[catalog.Prefix+key] = strings.ReplaceAll(value, `\n`, "\n")
	}
	var list []catalog.Service
	for _, svc := range order {
		list = append(list, *svc)
	}
	return list
}

// render renders the services of readServices, each with the tasks 10.0.0.2 and 10.0.0.10.
func render(t *testing.T, s Settings, text string) (file.File, []string) {
	t.Helper()
	d := claims.Settle(readServices(text), nil, readOptions())
	r, err := NewRenderer(s)
	if err != nil {
		t.Fatal(err)
	}
	r.SetSecrets(secrets())
	f, err := r.Render(d.Services, d.Tables, func(route.Service, route.Backend) []netip.Addr {
		return []netip.Addr{netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("10.0.0.10")}
	})
	if err != nil {
		t.Fatal(err)
	}
	var rejected []string
	for _, v := range d.Verdicts {
		if v.Err != nil {
			rejected = append(rejected, v.Service.Name+" rejected: "+v.Err.Error())
		}
	}
	return f, rejected
}

// TestGolden reads testdata/*.txt: labels above the line, what comes of them below.
func TestGolden(t *testing.T) {
	const line = "----\n"
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) < 5 {
		t.Fatalf("%d golden files (%v), want at least 5", len(files), err)
	}
	for _, golden := range files {
		t.Run(filepath.Base(golden), func(t *testing.T) {
			content, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			labels, want, _ := strings.Cut(string(content), line)
			f, rejected := render(t, settings("/etc/waggle"), labels)
			var b strings.Builder
			for _, r := range rejected {
				fmt.Fprintln(&b, r)
			}
			if strings.Contains(golden, "frame") || strings.Contains(golden, "conditions") || strings.Contains(golden, "streams") || strings.Contains(golden, "shared") {
				b.WriteString(f.Text())
			} else {
				b.WriteString(strings.TrimPrefix(strings.TrimPrefix(f.Text(), frameOf(f)), "\n"))
			}
			for _, name := range file.MapNames() {
				fmt.Fprintf(&b, "%s:\n%s", name, file.MapText(f.Maps[name]))
			}
			for _, name := range f.ListNames() {
				fmt.Fprintf(&b, "%s:\n%s", name, file.ListText(f.Lists[name]))
			}
			for _, fault := range f.Faults {
				fmt.Fprintf(&b, "fault: %s\n", fault)
			}
			if *update {
				if err := os.WriteFile(golden, []byte(labels+line+b.String()), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if b.String() != want {
				t.Errorf("got\n%s\nwant\n%s", b.String(), want)
			}
		})
	}
}

// frameOf is the text of what all services share.
func frameOf(f file.File) string { return file.File{Frame: f.Frame}.Text() }

// check writes a configuration and lets the real HAProxy judge it.
func check(t testing.TB, s Settings, f file.File) error {
	t.Helper()
	path := filepath.Join(s.Dir, "haproxy.cfg")
	if err := os.WriteFile(path, []byte(f.Text()), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, entries := range f.Maps {
		if err := os.WriteFile(s.MapPath(name), []byte(file.MapText(entries)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for name, entries := range f.Lists {
		if err := os.WriteFile(s.MapPath(name), []byte(file.ListText(entries)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for name, content := range f.Scripts {
		if err := os.WriteFile(s.MapPath(name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	out, err := exec.CommandContext(t.Context(), tooltest.Path(t, "haproxy"), "-c", "-f", path).CombinedOutput()
	if err == nil && len(file.Warnings(string(out))) > 0 {
		err = errors.New("haproxy warns of it")
	}
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

func TestHAProxyAcceptsWhatIsRendered(t *testing.T) {
	s := settings(t.TempDir())
	s.MaxConn, s.HardStopAfter, s.MaxReloads = 1000, time.Minute, 20
	s.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("192.168.1.1/32")}
	f, rejected := render(t, s, "web servicePath=/,/shop\nweb port=80\nwww serviceDomain=*.acme.com,acme.com\nwww port=81\n")
	if len(rejected) > 0 || len(f.Backends) != 2 {
		t.Fatal(rejected, f.Backends)
	}
	if err := check(t, s, f); err != nil {
		t.Fatal(err)
	}
	f.Frame = append(f.Frame, file.NewSection("", "backend", "x", "", file.Raw("nonsense")))
	if check(t, s, f) == nil {
		t.Fatal("the check accepts nonsense")
	}
}

// TestHAProxyAcceptsEveryGoldenFile: what stands below the line is of HAProxy's language.
func TestHAProxyAcceptsEveryGoldenFile(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, golden := range files {
		t.Run(filepath.Base(golden), func(t *testing.T) {
			content, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			labels, _, _ := strings.Cut(string(content), "----\n")
			s := settings(t.TempDir())
			s.MaxConn, s.SecretsDir = 1000, s.Dir
			if err := os.WriteFile(filepath.Join(s.Dir, "my-ca"), authority(t), 0o600); err != nil {
				t.Fatal(err)
			}
			f, _ := render(t, s, labels)
			if err := check(t, s, f); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// authority makes a certificate.
func authority(t *testing.T) []byte {
	t.Helper()
	certificate, _, _ := strings.Cut(string(keyPair(t)), "-----BEGIN PRIVATE KEY")
	return []byte(certificate)
}

// keyPair makes a certificate with its key.
func keyPair(t *testing.T) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})...)
}

func TestSameInputSameBytes(t *testing.T) {
	var b strings.Builder
	for i := range 50 {
		fmt.Fprintf(&b, "s%d servicePath=/p%d\ns%d port=80\n", i, i, i)
	}
	lines := slices.Collect(strings.Lines(b.String()))
	first, _ := render(t, settings("/x"), b.String())
	for range 5 {
		slices.Reverse(lines)
		again, _ := render(t, settings("/x"), strings.Join(lines, ""))
		if again.Text() != first.Text() || again.Hash() != first.Hash() {
			t.Fatal("another order of the same services gives another configuration")
		}
	}
}

func TestPlan(t *testing.T) {
	all := plan.Abilities{DynamicBackends: true}
	for _, c := range []struct {
		name       string
		have, want string
		can        plan.Abilities
		plan       string
	}{
		{"nothing changed", "a servicePath=/a\na port=80", "a servicePath=/a\na port=80", plan.Abilities{}, ""},
		{"a path moves: entries alone, the new one first", "a servicePath=/a\na port=80", "a servicePath=/b\na port=80", plan.Abilities{},
			"new paths.map /b=a-be80_0; del paths.map /a"},
		{"a domain is added", "a servicePath=/a\na port=80", "a servicePath=/a\na port=80\na serviceDomain=x.com", plan.Abilities{},
			"new paths.map x.com/a=a-be80_0; new hosts.map x.com=x.com; del paths.map /a"},
		{"wildcards are replaced whole, because their order counts", "a serviceDomain=*.x.com\na port=80", "a serviceDomain=*.x.com,*.y.x.com\na port=80", plan.Abilities{},
			"new paths.map .y.x.com/=a-be80_0; replace wildcards.map"},
		{"a path changes its service", "a servicePath=/a\na port=80\nb servicePath=/b\nb port=80", "a servicePath=/b\na port=80\nb servicePath=/a\nb port=80", plan.Abilities{},
			"set paths.map /a=b-be80_0; set paths.map /b=a-be80_0"},
		{"a new service reloads before HAProxy 3.4", "", "a servicePath=/a\na port=80", plan.Abilities{}, "reload version"},
		{"and needs none with it", "", "a servicePath=/a\na port=80", all, "add a-be80_0; new paths.map /a=a-be80_0"},
		{"a removed service loses its entries and servers; its empty backend stays until the next reload", "a servicePath=/a\na port=80", "", plan.Abilities{},
			"del paths.map /a; del a-be80_0/10.0.0.10; del a-be80_0/10.0.0.2"},
		{"or goes at once", "a servicePath=/a\na port=80", "", all, "del paths.map /a; del a-be80_0"},
		{"another port is another backend", "a servicePath=/a\na port=80", "a servicePath=/a\na port=81", all,
			"add a-be81_0; set paths.map /a=a-be81_0; del a-be80_0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := settings("/x")
			have, _ := render(t, s, c.have)
			want, _ := render(t, s, c.want)
			if got := plan.Diff(have, want, c.can).String(); got != c.plan {
				t.Errorf("got  %s\nwant %s", got, c.plan)
			}
		})
	}
}

func TestPlanOfServers(t *testing.T) {
	server := func(a string) file.Server {
		return file.Server{Name: a, Addr: netip.AddrPortFrom(netip.MustParseAddr(a), 80)}
	}
	b := file.NewSection("", "backend", "b", "")
	have := file.File{Backends: []file.Backend{{Section: b, Servers: []file.Server{server("10.0.0.1"), server("10.0.0.2")}}}}
	want := file.File{Backends: []file.Backend{{Section: b, Servers: []file.Server{server("10.0.0.2"), server("10.0.0.3")}}}}
	if got := plan.Diff(have, want, plan.Abilities{}).String(); got != "add b/10.0.0.3; del b/10.0.0.1" {
		t.Errorf("got %s", got)
	}
}

// FuzzLabels asserts that no text of a label adds a line, a word or a directive.
func FuzzLabels(f *testing.F) {
	f.Add("/a", "a.com", "80", "01")
	f.Add("/a\nfrontend x", "*.a.com", "80", "x\n  bind :81")
	f.Add(`/a"'\ ${HOME} %[src]`, "a.com#", " 80 ", "{{.X}}")
	f.Fuzz(func(t *testing.T, path, domain, port, order string) {
		svc := catalog.Service{ID: "i", Name: "web", Labels: map[string]string{
			catalog.Notify: "true", "com.df.servicePath": path, "com.df.serviceDomain": domain, "com.df.port": port, "com.df.aclName": order,
		}}
		d := claims.Settle([]catalog.Service{svc}, nil, labels.Options{})
		r, err := NewRenderer(settings("/x"))
		if err != nil {
			t.Fatal(err)
		}
		out, err := r.Render(d.Services, d.Tables, func(route.Service, route.Backend) []netip.Addr { return nil })
		if err != nil {
			t.Fatal(err)
		}
		own := strings.TrimPrefix(out.Text(), frameOf(out))
		lines := strings.Count(own, "\n")
		if len(d.Services) == 0 && own != "" || len(d.Services) == 1 && (lines != 2 || len(strings.Fields(own)) != 4) {
			t.Fatalf("labels %q gave %q", svc.Labels, own)
		}
		for name, entries := range out.Maps {
			for line := range strings.Lines(file.MapText(entries)) {
				if len(strings.Fields(line)) != 2 || strings.HasPrefix(line, "#") {
					t.Fatalf("labels %q gave the line %q in %s", svc.Labels, line, name)
				}
			}
		}
	})
}
