package claims_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/proxy/internal/wish/outbound"
	"github.com/wagglehq/waggle/proxy/internal/wish/route/claims"
	"github.com/wagglehq/waggle/proxy/internal/wish/route/labels"
	"github.com/wagglehq/waggle/proxy/internal/wish/route/owners"
)

// TestOutboundIsSaidTwice: the setting says what the proxy reaches at all, the file of owners who
// may; both must admit a host, and the file alone opens nothing that is inside.
func TestOutboundIsSaidTwice(t *testing.T) {
	const both, setting, file, neither = "legacy.example", "setting.example", "file.example", "other.example"
	const names, networks = "legacy.example,setting.example", "10.20.0.0/16"
	for _, c := range []struct {
		setting, host, mode string
		// says is a part of the refusal, empty if there is none.
		says string
	}{
		{names, both, "enforce", ""}, {names, setting, "enforce", "by the file of owners"}, {names, file, "enforce", "the setting outbound"}, {names, neither, "enforce", "the setting outbound"},
		{names, both, "first-come", ""}, {names, setting, "first-come", ""}, {names, file, "first-come", "the setting outbound"},
		{names, both, "off", ""}, {names, setting, "off", ""}, {names, file, "off", "the setting outbound"},
		{networks, "10.20.0.1", "enforce", ""}, {networks, "10.20.1.1", "enforce", "by the file of owners"}, {networks, "10.30.0.1", "enforce", "the setting outbound"},
		{networks, "127.0.0.1", "enforce", "the proxy itself"}, {networks, "169.254.169.254", "first-come", "link-local"},
	} {
		t.Run(c.host+", "+c.mode, func(t *testing.T) {
			o, err := owners.Parse(fmt.Sprintf("mode: %s\nstacks:\n  shop: {hosts: [shop.example], outbound: [legacy.example, file.example, 10.20.0.0/24, 10.30.0.0/16, 127.0.0.0/8]}\n", c.mode))
			if err != nil {
				t.Fatal(err)
			}
			rules, err := outbound.Parse(c.setting)
			if err != nil {
				t.Fatal(err)
			}
			s := claims.NewSettler(labels.Options{Outbound: rules})
			s.Own(o, nil)
			svc := stacked("shop_web", 1, "serviceDomain", "shop.example", "outboundHostname", c.host)
			err = s.Settle([]catalog.Service{svc}, nil).Verdicts[0].Err
			if c.says == "" && err != nil || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
				t.Errorf("%v, want %q", err, c.says)
			}
		})
	}
}
