package route

import (
	"fmt"

	"github.com/wagglehq/waggle/pkg/catalog"
)

// OwnerError says that a service cannot have what is somebody else's, or nobody's, by the
// file of owners, or by what somebody else had first.
type OwnerError struct {
	Service string
	// Claim is what it asks for, in words.
	Claim string
	// Owner is whose that is; empty if the file gives it to nobody of this owner.
	Owner string
	// Label is the one to change, without its prefix.
	Label string
	// Key is what of the file would admit it ("wellKnown: true").
	Key string
}

// Error names the claim and its owner.
func (e *OwnerError) Error() string {
	if e.Owner == "" {
		return fmt.Sprintf("%s is not given to the owner of %s by the file of owners", e.Claim, e.Service)
	}
	return fmt.Sprintf("%s belongs to %s", e.Claim, e.Owner)
}

// Hint says what can be done.
func (e *OwnerError) Hint() string {
	return fmt.Sprintf("change %s%s, or have the operator list %s in the file of owners", catalog.Prefix, e.Label, e.Key)
}
