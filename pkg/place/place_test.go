package place

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

// TestPlace: a container is on an overlay that it shares with services, on the control
// network, and on the bridge of its node, by which it gets out.
func TestPlace(t *testing.T) {
	p := Place{
		Networks: []Network{
			{"lo", netip.MustParsePrefix("127.0.0.1/8")}, {"eth0", netip.MustParsePrefix("10.90.0.7/16")},
			{"eth1", netip.MustParsePrefix("10.0.1.9/24")}, {"eth2", netip.MustParsePrefix("172.18.0.4/16")},
		},
		Gateways: map[string]netip.Addr{"eth2": netip.MustParseAddr("172.18.0.1")},
	}
	if got := fmt.Sprint(p.Own(), p.Shared(), p.Ways()); got != "[127.0.0.1 10.90.0.7 10.0.1.9 172.18.0.4] [10.90.0.0/16 10.0.1.0/24] [172.18.0.1]" {
		t.Error(got)
	}
	const routes = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n" +
		"eth2\t00000000\t010012AC\t0003\t0\t0\t0\t00000000\t0\t0\t0\n" +
		"eth0\t00005A0A\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n"
	if got, err := gateways(strings.NewReader(routes)); err != nil || fmt.Sprint(got) != "map[eth2:172.18.0.1]" {
		t.Error(got, err)
	}
	if _, err := Look(); err != nil {
		t.Error(err)
	}
}
