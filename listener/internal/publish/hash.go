package publish

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"

	"github.com/wagglehq/waggle/pkg/catalog"
)

// Hash returns the hash of what the bus holds, empty while that is not known; it is the
// same on all listeners that see the same.
func (p *Publisher) Hash() string {
	seen, ok := p.o.Catalog.Seen()
	if !ok {
		return ""
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.hash == "" || p.hashed != seen.Revision {
		p.hash, p.hashed = hash(seen.Entries), seen.Revision
	}
	return p.hash
}

// hash is the same for the same entries. What is withheld has its mark in the entry of its service.
func hash(entries catalog.Entries) string {
	h := sha256.New()
	for _, key := range slices.Sorted(maps.Keys(entries)) {
		if _, isSecret := catalog.SecretOf(key); isSecret {
			continue
		}
		_, _ = fmt.Fprintf(h, "%s %d ", key, len(entries[key]))
		_, _ = h.Write(entries[key])
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}
