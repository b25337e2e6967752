package plan

import (
	"strings"
	"testing"

	"github.com/wagglehq/waggle/proxy/internal/haproxy/file"
)

func TestPlanOfCertificates(t *testing.T) {
	large := strings.Repeat("x", 16<<10)
	for _, c := range []struct{ name, have, want, plan string }{
		{"nothing", "a:1 b:2", "a:1 b:2", ""},
		{"a new one", "a:1", "a:1 b:2", "add certificate b"},
		{"another content", "a:1 b:2", "a:3 b:2", "set certificate a"},
		{"one that leaves", "a:1 b:2", "b:2", "del certificate a"},
		{"what comes goes before what leaves", "a:1 b:2", "b:3 c:1", "set certificate b; add certificate c; del certificate a"},
		{"other hosts", "a:1", "a:1:x.com,y.com", "list certificate a"},
		{"other hosts and content", "a:1:x.com", "a:2", "set certificate a; list certificate a"},
		{"the order alone", "a:1 b:2", "b:2 a:1", ""},
		{"a large one", "a:1", "a:1 b:" + large, "reload certificate"},
		{"a large one that stays", "a:" + large, "a:" + large + " b:1", "add certificate b"},
		{"a large one that leaves", "a:1 b:" + large, "a:1", "del certificate b"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := Diff(file.File{Certificates: list(c.have)}, file.File{Certificates: list(c.want)}, Abilities{}).String(); got != c.plan {
				t.Errorf("got %q, want %q", got, c.plan)
			}
		})
	}
}

// list reads certificates, "file:PEM:hosts".
func list(text string) []file.Certificate {
	var out []file.Certificate
	for word := range strings.FieldsSeq(text) {
		f := strings.SplitN(word, ":", 3)
		c := file.Certificate{File: f[0], PEM: f[1]}
		if len(f) > 2 {
			c.Only = strings.Split(f[2], ",")
		}
		out = append(out, c)
	}
	return out
}
