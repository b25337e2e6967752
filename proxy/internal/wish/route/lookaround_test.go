package route_test

import (
	"testing"

	"github.com/wagglehq/waggle/proxy/internal/wish/route"
)

// TestLookAround: what HAProxy's library knows and Go does not is admitted, and everything
// within it is checked all the same.
func TestLookAround(t *testing.T) {
	for text, want := range map[string]bool{
		`^/(?!private/)`:       true,
		`^/(?=.*\.js$)static/`: true,
		`(?<!/v1)/users$`:      true,
		`(?<=/a|/bc)/x`:        true,
		`^/(?!(?:a|b)(?!c))`:   true,
		`^/[(?!]x`:             true,
		`^/[]()]x(?!y)`:        true,
		`^/\(?!x`:              true,
		`^/(?!private/`:        false,
		`^/(?!pri[vate/)`:      false,
		`^/(?!*)`:              false,
		`^/(?<!a+)b`:           false,
		`^/(?<=a{1,3})b`:       false,
		`^/(?<=a{2})b`:         true,
		`^/x)(?!y)`:            false,
		`^/(?>atomic)(?!y)`:    false,
		`^/(?<name>x)(?!y)`:    true,
		`^/(?!` + "\x01" + `)`: false,
		`^/v[0-9]+/`:           true,
	} {
		if got := route.ValidRegexp(text); got != want {
			t.Errorf("%s: %t, want %t", text, got, want)
		}
	}
}
