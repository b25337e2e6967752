package render

import (
	"crypto/sha256"
	"encoding/hex"

	"github.com/wagglehq/waggle/proxy/internal/haproxy/file"
	"github.com/wagglehq/waggle/proxy/internal/wish/route"
)

// addressList is a file of addresses that a backend's rule looks into.
type addressList struct {
	name    string
	allowed bool
	entries []string
}

// lists are those of a backend, in the order of its rules.
func lists(backend string, a route.Access) []addressList {
	var out []addressList
	if a.Allowed != nil {
		out = append(out, addressList{backend + ".allowed" + file.ListEnd, true, a.Allowed.List})
	}
	if a.Denied != nil {
		out = append(out, addressList{backend + ".denied" + file.ListEnd, false, a.Denied.List})
	}
	return out
}

// scriptName tells versions of a script apart, so that another one is another frame.
func scriptName(name, text string) string {
	sum := sha256.Sum256([]byte(text))
	return name + "-" + hex.EncodeToString(sum[:4]) + file.ScriptEnd
}
