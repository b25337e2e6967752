package signal

import "fmt"

// Number is what is known of a service's number of replicas, so that whoever sets another
// one is told apart.
type Number struct {
	ServiceID string `json:"serviceId"`
	// Base is the number when the service was first seen, or last deployed.
	Base uint64 `json:"base"`
	// Own is the number that the scaler, or a person, has set last: the one that comes back
	// after a deploy.
	Own uint64 `json:"own"`
	// Step is the mark of the last step that has been taken into account.
	Step string `json:"step,omitempty"`
}

// Mark tells a step from others of its service, also where clocks differ.
func (s *Step) Mark() string {
	if s == nil {
		return ""
	}
	return fmt.Sprintf("%d %d %d", s.Version, s.To, s.Time.UnixNano())
}

// After returns what is known once the last step, nil if there is none, is taken into account.
func (n Number) After(last *Step) Number {
	if last == nil || last.Mark() == n.Step {
		return n
	}
	n.Own, n.Step = last.To, last.Mark()
	return n
}
