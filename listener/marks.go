package listener

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
)

// markKey derives from the listener's secret, the first if there are several, the key of
// all marks and hashes that are published of texts that are not. All listeners of one bus
// have the same.
func markKey(secret string) ([]byte, error) {
	if all := strings.Fields(secret); len(all) > 0 {
		secret = all[0]
	}
	key, err := hkdf.Key(sha256.New, []byte(secret), nil, "waggle catalog marks", 32)
	if err != nil {
		return nil, fmt.Errorf("key of marks: %w", err)
	}
	return key, nil
}

// marker returns what makes the mark of a text: it tells that the text changed, and
// nothing else to whoever does not have the key.
func marker(key []byte) func(text string) string {
	return func(text string) string {
		h := hmac.New(sha256.New, key)
		_, _ = h.Write([]byte(text))
		return hex.EncodeToString(h.Sum(nil)[:16])
	}
}
