package budget_test

import (
	"strings"
	"testing"
	"time"

	"github.com/wagglehq/waggle/proxy/internal/wish/budget"
)

// TestRegexp: what people write passes, and what may take for ever does not.
func TestRegexp(t *testing.T) {
	for _, text := range []string{
		`^/v[0-9]+/`, `^/(api|v[0-9]+)/.*`, `^[a-z0-9.-]+[.]acme[.]com$`, `^([a-z0-9-]+[.])+acme[.]com$`, `^(/[a-z]+)+/?$`, `\.(png|jpe?g|gif|css|js)$`,
		`.*`, `(.*)/(.*)`, `^/.*/.*/edit$`, `^/users/[0-9]{1,10}/[a-f0-9]{8}-[a-f0-9]{4}-[a-f0-9]{4}-[a-f0-9]{4}-[a-f0-9]{12}$`, `^(?i)/Shop`, `^/(?!admin)`,
		`^(?=.*[a-z])(?=.*[0-9]).*$`, `^/(foo|bar)*$`, `(?:%[0-9a-fA-F]{2})+`, `^(.+\.)?acme\.com$`, `^\d+\.\d+\.\d+$`, `/foo/(.*)`, `[^/]+/[^/]+`, `^[^a]*a[^b]*b[^c]*c[^d]*d`,
		`\Qa+b\E`, `^[[:alpha:]]+$`, `^/a{2,5}$`, `^(www|shop)[0-9]*\.`,
	} {
		if want := budget.Regexp(text); want != "" {
			t.Errorf("%s is refused: want %s", text, want)
		}
	}
	for _, text := range []string{
		`^(a+)+$`, `^/(a+)+$`, `(a*)*`, `(a|a)*b`, `(a|aa)+$`, `([a-z]+)*`, `(.*)*`, `(.*,)*x`, `((a+)b?)+`, `(?:(?:a+)+)+`, `(a?){30}a{30}`, `(a{1,50}){1,50}`, `((ab){1,8})+`,
		`(\w+\s?)*$`, `^(([a-z])+.)+[A-Z]([a-z])+$`, `(x+x+)+y`, `(?i)(A|a)+b`, `(a{1000}){1000}`, `a{100000}`, `.*.*.*.*=`, `^.*a.*b.*c.*d`, `^[a-z]*[a-z]*[a-z]*[a-z]*$`,
		strings.Repeat("a", 513), strings.Repeat("(", 40) + "a" + strings.Repeat(")", 40), `(?=(a+)+$)`, `^(\w|\d)+$`, `([^\s\S]|a|a)+`, `(\x{61}+)+`, `(a+)\1+\1+\1+\1+`,
	} {
		if budget.Regexp(text) == "" {
			t.Errorf("%s is taken", text)
		}
	}
}

// FuzzRegexp: no text makes the judge fail, or take longer than its length says.
func FuzzRegexp(f *testing.F) {
	for _, text := range []string{`^(a+)+$`, `[[:alpha:]-\w]{2,}`, `(?P<n>a|b)\k<n>`, `(?i:[^a-z])*+`, `\Q(\E{3}`, `(((((`, `[`, `\`, `a{`, `(?<`, strings.Repeat("(a|", 170), strings.Repeat("a*", 250)} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		begin := time.Now()
		budget.Regexp(text)
		if took := time.Since(begin); took > time.Second {
			t.Errorf("%q takes %s", text, took)
		}
	})
}
