package owners_test

import (
	"strings"
	"testing"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/proxy/internal/wish/route/owners"
)

// TestFaultsOfTheFile: each is named by its line or key, with what would be right.
func TestFaultsOfTheFile(t *testing.T) {
	for _, c := range []struct{ name, file, want string }{
		{"no YAML", "mode: enforce\nstacks: [", "line 2"},
		{"another mode", "mode: strict", `line 1: mode: "strict": want enforce, first-come or off`},
		{"no mode", "stacks: {}", "mode: want enforce, first-come or off"},
		{"a key that there is none of", "mode: enforce\nstacks:\n  shop: {hots: [a.com]}", "line 3: there is no key hots"},
		{"no host", "mode: enforce\nstacks:\n  shop:\n    hosts:\n      - a.com\n      - http://a.com", `stacks.shop: line 6: hosts: "http://a.com": want names such as acme.com`},
		{"no path", "mode: enforce\ndefault: {paths: [shop]}", `default: line 2: paths: "shop": want paths such as /shop`},
		{"no port", "mode: enforce\nstacks:\n  shop: {ports: [70000]}", `line 3: ports: "70000": want a whole number from 1 to 65535`},
		{"another order", "mode: enforce\nstacks:\n  shop: {aclName: first}", `line 3: aclName: "first": want global, or nothing`},
		{"nowhere", "mode: enforce\nstacks:\n  shop: {outbound: [10.0.0.0/99]}", `outbound: "10.0.0.0/99": want host names, addresses or networks`},
		{"a host of two", "mode: enforce\nstacks:\n  a: {hosts: [a.com]}\n  b: {hosts: [A.com]}", `hosts: "a.com" is listed for a and for b: want one owner`},
		{"an owner that there is none of", "mode: enforce\nstacks:\n  a: {owner: b}", `a: owner: "b": want a stack of this file`},
	} {
		t.Run(c.name, func(t *testing.T) {
			o, err := owners.Parse(c.file)
			if err == nil || !strings.Contains(err.Error(), c.want) || o != nil && err == nil {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
	for _, nothing := range []string{"", " \n", "mode: off", "mode: off\nstacks: {a: {hosts: [a.com]}}"} {
		if o, err := owners.Parse(nothing); o != nil || err != nil {
			t.Errorf("%q: %v, %v; want no owners", nothing, o, err)
		}
	}
}

// TestTheLongestPatternSaysWhose a host is.
func TestTheLongestPatternSaysWhose(t *testing.T) {
	o, err := owners.Parse("mode: enforce\nstacks:\n  acme: {hosts: [\"*.acme.com\", acme.com]}\n  shop: {hosts: [\"*.shop.acme.com\", SHOP.acme.com]}\n  green: {owner: shop}\n  edge: {hosts: [\"*\"]}\n")
	if err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string]string{
		"acme.com": "acme", "www.acme.com": "acme", "*.www.acme.com": "acme", "shop.acme.com": "shop", "a.shop.acme.com": "shop",
		"*.shop.acme.com": "shop", "*.acme.com": "acme", "xacme.com": "", "com": "", "*.com": "",
	} {
		if got, _ := o.Host(host); got != want {
			t.Errorf("%s is of %q, want %q", host, got, want)
		}
	}
	if got := o.Of(catalog.Service{Name: "green_web", Stack: "green"}); got != "shop" {
		t.Errorf("green counts as %s, want shop", got)
	}
	if got := o.Of(catalog.Service{Name: "shop"}); got == "shop" {
		t.Error("a service that is called like a stack counts as it")
	}
}
