package acceptance

import (
	"slices"

	"github.com/wagglehq/waggle/pkg/certtest"
)

// certificates makes what cases name, by file name: of each certificate its own
// (.crt), its key (.key) and both together (.pem).
func certificates() (map[string][]byte, error) {
	files := map[string][]byte{}
	issued := map[string]*certtest.Issued{"": nil}
	for _, c := range []struct{ file, name, by string }{
		{"ca", "Acceptance CA", ""}, {"rogue-ca", "Rogue CA", ""},
		{"a.example.com", "a.example.com", "ca"}, {"b.example.com", "b.example.com", "ca"}, {"cl", "client", "ca"}, {"rogue", "rogue", "rogue-ca"},
	} {
		one, err := certtest.New(certtest.Options{By: issued[c.by], CA: c.by == ""}, c.name)
		if err != nil {
			return nil, err
		}
		issued[c.file] = &one
		crt, key := []byte(one.Cert), []byte(one.Key)
		files[c.file+".crt"], files[c.file+".key"], files[c.file+".pem"] = crt, key, slices.Concat(crt, key)
	}
	// A CA alone is known by its certificate, without the key.
	files["ca.pem"] = files["ca.crt"]
	return files, nil
}
