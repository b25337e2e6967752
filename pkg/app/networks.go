package app

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"unicode"
)

// Networks reads a list of addresses and networks, separated by commas or white space. An
// address is the network that holds it alone. The error names the setting and the word.
func Networks(setting, list string) ([]netip.Prefix, error) {
	var out []netip.Prefix
	for word := range strings.FieldsFuncSeq(list, func(r rune) bool { return r == ',' || unicode.IsSpace(r) }) {
		p, err := netip.ParsePrefix(word)
		if err != nil {
			a, errAddr := netip.ParseAddr(word)
			if errAddr != nil {
				return nil, fmt.Errorf("%s: %q: want an address or a network such as 10.0.0.0/8", setting, word)
			}
			p = netip.PrefixFrom(a, a.BitLen())
		}
		out = append(out, p.Masked())
	}
	return out, nil
}

// Companions is where Docker Flow's own paths are offered, and nothing else: at an address
// of its own, since companions are not on the control network.
type Companions struct {
	// Address is docker-flow-address (see Shell.ServeOnNetwork); empty: there is none.
	Address string
	// From is docker-flow-from: addresses that need no token there.
	From string
}

// Trusted are those who need no token at the address.
func (c Companions) Trusted() ([]netip.Prefix, error) {
	list, err := Networks("docker-flow-from", c.From)
	switch {
	case err != nil:
		return nil, err
	case len(list) > 0 && c.Address == "":
		return nil, errors.New("docker-flow-from: want a docker-flow-address beside it: the admin port knows no addresses that need no token")
	case c.Address == "":
		return nil, nil
	}
	if _, _, err := net.SplitHostPort(c.Address); err != nil {
		return nil, fmt.Errorf("docker-flow-address: %q: want :PORT, ADDRESS:PORT or NETWORK:PORT", c.Address)
	}
	return list, nil
}
