package render

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/label"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/file"
	"github.com/wagglehq/waggle/proxy/internal/wish/route"
	"github.com/wagglehq/waggle/proxy/internal/wish/route/claims"
	"github.com/wagglehq/waggle/proxy/internal/wish/route/labels"
)

// nasty are texts that mean something to HAProxy, to templates or to whoever reads lines.
func nasty() []string {
	return []string{
		"", " ", "\n", "x\n  http-request allow", "x\r\n  bind :81", "/a\nbackend x", "\x00", "/a\x00b", "\x1b[0m", "\t",
		"{{.X}}", "{{", "${HOME}", "$HOME", "/$HOME", `"${HOME}"`, "#", "/a # b", "a#b", `\`, `/a\`, `\ `, `'`, `"`, `/'"'`, `a'b"c\d`,
		"%[src]", "%[env(HOME)]", "X-A %[env(HOME)]", "X-A 100% %[src] %%[src] %ci", "%", "-m", "-f", "-f /etc/passwd", "X-A:-f", "/a,-f", "}", "{", "X-A:}", "/a,}",
		"/} use_backend x", "X-A v if { src 1.2.3.4 }", "X-A v if { path_beg } }", "X-A v if { method -f /etc/passwd }", "X-A 'v' # \"w\" ${X} \\", "/a,'b' # \"c\",g",
		"/ü", "ü", "X-A ü", "x;show info", "/a;b", "a b c", "--", "||", "if TRUE", "unless", "(", "[", "a,b,c,d", "99999", "-1", "1e9", strings.Repeat("x", 10_000), "/" + strings.Repeat("y", 9_999),
		"../../etc/passwd", "@system-ca ca-file /x", "a:b\n", "admin:p'w\"#${X}\\ %[src]", "admin:x,other:y}",
	}
}

// example is a service of a golden file whose labels are in force.
type example struct {
	file   string
	labels map[string]string
}

// mostExamples is of how many services each label is tried in.
const mostExamples = 2

// examples reads the services of the golden files that are not rejected when they
// are alone, by the names of their labels.
func examples(t testing.TB) map[string][]example {
	t.Helper()
	out := map[string][]example{}
	for _, c := range goldenServices(t) {
		if _, err := labels.FromService(c.service, readOptions()); err != nil {
			continue
		}
		for full := range c.service.Labels {
			name, _ := label.SplitIndex(strings.TrimPrefix(full, catalog.Prefix))
			e := example{c.file, c.service.Labels}
			if len(out[name]) < mostExamples && !slices.ContainsFunc(out[name], func(o example) bool { return maps.Equal(o.labels, e.labels) }) {
				out[name] = append(out[name], e)
			}
		}
	}
	return out
}

// goldenService is a service above the line of a golden file.
type goldenService struct {
	file    string
	service catalog.Service
}

func goldenServices(t testing.TB) []goldenService {
	t.Helper()
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	var out []goldenService
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		above, _, _ := strings.Cut(string(content), "----\n")
		for _, svc := range readServices(above) {
			out = append(out, goldenService{filepath.Base(file), svc})
		}
	}
	return out
}

// others are services that no text of another one may touch: they are older.
func others() []catalog.Service {
	return readServices("first servicePath=/first\nfirst port=80\nfirst setReqHeader=X-First 1\n" +
		"second serviceDomain=second.example.com\nsecond port=80\nsecond servicePathExclude=/no\nsecond redirectFromDomain=old.example.com\n" +
		"third reqMode=sni\nthird srcPort=7\nthird port=7\nthird servicePath=third.example.com\n")
}

// laboratory renders one service with a given label beside others.
type laboratory struct {
	examples map[string][]example
	base     []line
	settings Settings
	renderer *Renderer
}

func newLaboratory(t testing.TB, s Settings) *laboratory {
	t.Helper()
	r, err := NewRenderer(s)
	if err != nil {
		t.Fatal(err)
	}
	l := &laboratory{examples: examples(t), settings: s, renderer: r}
	f, _, err := l.render(t, nil)
	if err != nil {
		t.Fatalf("the others alone: %v", err)
	}
	l.base = lines(f.Text())
	return l
}

// render renders the others and, if it has labels, the subject, and returns why the
// subject is rejected. That another one is rejected is a failure.
func (l *laboratory) render(t testing.TB, labels map[string]string) (file.File, []route.Entry, error) {
	t.Helper()
	services := others()
	if labels != nil {
		services = append(services, catalog.Service{ID: "zz", Name: "subject", CreatedAt: time.Unix(1e6, 0), Labels: labels})
	}
	d := claims.Settle(services, nil, readOptions())
	var rejected error
	for _, v := range d.Verdicts {
		if v.Err == nil {
			continue
		}
		if v.Service.ID != "zz" {
			t.Fatalf("labels %.300q of another service have %s rejected: %v", labels, v.Service.Name, v.Err)
		}
		rejected = v.Err
	}
	f, err := l.renderer.Render(d.Services, d.Tables, func(route.Service, route.Backend) []netip.Addr {
		return []netip.Addr{netip.MustParseAddr("10.0.0.2")}
	})
	if err != nil {
		t.Fatalf("labels %.300q cannot be rendered: %v", labels, err)
	}
	var entries []route.Entry
	for _, name := range file.MapNames() {
		entries = append(entries, f.Maps[name]...)
	}
	return f, entries, rejected
}

// chain is the name of what is tried for a class of requests, which changes with what is tried.
var chain = regexp.MustCompile(`\?[0-9a-f]{24}`)

// added returns the lines that a configuration has besides those of the others, and
// fails if one of these is not there, or not in its order, any more.
func (l *laboratory) added(t testing.TB, f file.File) []line {
	t.Helper()
	chains, rest := map[line]int{}, map[string][]string{}
	for _, b := range l.base {
		if name := chain.FindString(b.text); name != "" {
			chains[line{b.section, strings.ReplaceAll(b.text, name, "?")}]++
			continue
		}
		rest[b.section] = append(rest[b.section], b.text)
	}
	var out []line
	for _, got := range lines(f.Text()) {
		same := line{got.section, chain.ReplaceAllString(got.text, "?")}
		switch next := rest[got.section]; {
		case same.text != got.text && chains[same] > 0:
			chains[same]--
		case len(next) > 0 && next[0] == got.text:
			rest[got.section] = next[1:]
		default:
			out = append(out, got)
		}
	}
	for missing, n := range chains {
		if n > 0 {
			t.Fatalf("the line %q of %q is gone", missing.text, missing.section)
		}
	}
	for section, missing := range rest {
		if len(missing) > 0 {
			t.Fatalf("the line %q of %q is gone or in another place", missing[0], section)
		}
	}
	return out
}

// shapes returns those of the lines that labels add, sorted.
func (l *laboratory) shapes(t testing.TB, labels map[string]string, f file.File) []string {
	t.Helper()
	var out []string
	for _, a := range l.added(t, f) {
		shape, err := a.shape()
		if err != nil {
			t.Fatalf("labels %.300q give in %q the line %.300q: %v", labels, a.section, a.text, err)
		}
		out = append(out, shape)
	}
	slices.Sort(out)
	return out
}

// harmless replaces what could mean something by letters that tell what it was. What
// separates elements and words stays.
func harmless(text string) string {
	var b strings.Builder
	for _, r := range text {
		if r < 0x80 && (r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune(" ,:/.*-_", r)) {
			b.WriteRune(r)
			continue
		}
		fmt.Fprintf(&b, "x%x", r)
	}
	return b.String()
}

// try gives a label a text, in each example that has it and in the simplest service,
// and returns the configurations in force.
func (l *laboratory) try(t testing.TB, spec label.Spec, text string, faultNamesIt bool) []file.File {
	t.Helper()
	full := catalog.Prefix + spec.Name
	var out []file.File
	cases := append([]example{{"", map[string]string{catalog.Notify: "true", "com.df.servicePath": "/subject", "com.df.port": "80"}}}, l.examples[spec.Name]...)
	for _, c := range cases {
		with := func(text string) map[string]string {
			labels, found := maps.Clone(c.labels), false
			for name := range labels {
				if base, _ := label.SplitIndex(strings.TrimPrefix(name, catalog.Prefix)); base == spec.Name {
					labels[name], found = text, true
				}
			}
			if !found {
				labels[full] = text
			}
			return labels
		}
		// What is empty is absent, unless it would let somebody in.
		absent := strings.TrimSpace(text) == "" && !spec.Strict
		labels := with(text)
		f, entries, err := l.render(t, labels)
		l.told(t, spec, text, err, faultNamesIt && !absent)
		got := l.shapes(t, labels, f)
		for _, e := range entries {
			for _, word := range []string{e.Key, e.Value} {
				if word == "" || strings.HasPrefix(word, "#") || strings.ContainsFunc(word, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
					t.Fatalf("labels %.300q give the entry %.300q", labels, e)
				}
			}
		}
		if err != nil {
			if len(got) > 0 {
				t.Fatalf("labels %.300q are rejected, but add %q", labels, got)
			}
			continue
		}
		out = append(out, f)
		if harmless(text) == text {
			continue
		}
		tame := with(harmless(text))
		if absent {
			maps.DeleteFunc(tame, func(name, _ string) bool {
				base, _ := label.SplitIndex(strings.TrimPrefix(name, catalog.Prefix))
				return base == spec.Name
			})
		}
		if f, _, err := l.render(t, tame); err == nil {
			if want := l.shapes(t, tame, f); !slices.Equal(got, want) {
				t.Fatalf("%s=%.300q (as in %s) makes\n%s\nbut the harmless %.300q makes\n%s", full, text, c.file, strings.Join(got, "\n"), harmless(text), strings.Join(want, "\n"))
			}
		}
	}
	return out
}

// told fails if a rejection does not say what a user needs.
func (l *laboratory) told(t testing.TB, spec label.Spec, text string, err error, faultNamesIt bool) {
	t.Helper()
	var faults label.Faults
	var conflict *route.ConflictError
	switch {
	case err == nil, errors.Is(err, route.ErrNoRoute), errors.As(err, &conflict):
	case !errors.As(err, &faults):
		t.Fatalf("%s=%.300q is rejected without a label's name: %v", spec.Name, text, err)
	case faultNamesIt && !slices.ContainsFunc(faults, func(f *label.Fault) bool {
		base, _ := label.SplitIndex(strings.TrimPrefix(f.Label, catalog.Prefix))
		return base == spec.Name
	}):
		t.Fatalf("%s=%.300q is rejected, but no fault names it: %v", spec.Name, text, err)
	}
	if spec.Secret && err != nil && len(text) > 4 && strings.Contains(err.Error(), text) {
		t.Fatalf("the text of the secret label %s is shown: %v", spec.Name, err)
	}
}

// TestNoTextOfAnyLabelBreaksOut tries each nasty text in each label of the table, and
// lets HAProxy judge what is in force.
func TestNoTextOfAnyLabelBreaksOut(t *testing.T) {
	dir := t.TempDir()
	s := settings(dir)
	s.SecretsDir = dir
	if err := os.WriteFile(filepath.Join(dir, "my-ca"), authority(t), 0o600); err != nil {
		t.Fatal(err)
	}
	l := newLaboratory(t, s)
	for _, spec := range labels.Table() {
		t.Run(spec.Name, func(t *testing.T) {
			judged := map[string]bool{}
			for _, text := range nasty() {
				files := l.try(t, spec, text, true)
				// What looks like any other text was judged with the golden files.
				if len(files) == 0 || judged[files[0].Text()] || harmless(text) == text && len(text) < 100 {
					continue
				}
				judged[files[0].Text()] = true
				err := check(t, l.settings, files[0])
				// A file that is not there is told from one that is by HAProxy alone.
				if err != nil && !strings.Contains(err.Error(), "No such file") && !strings.Contains(err.Error(), "File name too long") {
					t.Errorf("%s=%.300q: %.2000v", spec.Name, text, err)
				}
			}
		})
	}
}

// FuzzAnyLabel asserts of any text in any label what the test above asserts of some in
// each, without HAProxy. It begins with the texts of the golden files.
func FuzzAnyLabel(f *testing.F) {
	table := labels.Table()
	for i, text := range nasty() {
		f.Add(uint16(i), text)
	}
	l := newLaboratory(f, settings("/etc/waggle"))
	for i, spec := range table {
		for _, e := range l.examples[spec.Name] {
			for name, text := range e.labels {
				if base, _ := label.SplitIndex(strings.TrimPrefix(name, catalog.Prefix)); base == spec.Name {
					f.Add(uint16(i), text)
				}
			}
		}
	}
	f.Fuzz(func(t *testing.T, which uint16, text string) {
		l.try(t, table[int(which)%len(table)], text, false)
	})
}

// TestEveryLabelHasGoldenCases: one in which it is in force, and one in which it is at fault.
func TestEveryLabelHasGoldenCases(t *testing.T) {
	inForce, atFault := map[string]bool{}, map[string]bool{}
	for _, c := range goldenServices(t) {
		_, err := labels.FromService(c.service, readOptions())
		var faults label.Faults
		errors.As(err, &faults)
		for full := range c.service.Labels {
			name, _ := label.SplitIndex(strings.TrimPrefix(full, catalog.Prefix))
			inForce[name] = inForce[name] || err == nil
			atFault[name] = atFault[name] || slices.ContainsFunc(faults, func(f *label.Fault) bool { return f.Label == full })
		}
	}
	for _, spec := range labels.Table() {
		// Raw text is only admitted by the operator's switch, which the golden files do not set.
		if !inForce[spec.Name] && spec.Name != "backendExtra" {
			t.Errorf("no golden file of testdata has %s%s in force", catalog.Prefix, spec.Name)
		}
		if !atFault[spec.Name] {
			t.Errorf("no golden file of testdata has a fault of %s%s", catalog.Prefix, spec.Name)
		}
	}
}
