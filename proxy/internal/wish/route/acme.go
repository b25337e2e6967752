package route

// Answer is what a service says to a question: nothing, yes or no.
type Answer int

// The answers.
const (
	Silent Answer = iota
	Yes
	No
)

// ACME is what a service says of certificates that are obtained for its hosts.
type ACME struct {
	Asks Answer
	// Challenge is how its hosts are proven ("http", "dns"); empty: as the operator says.
	Challenge string
	// Hosts, Email and Testing are from the labels of a companion of Docker Flow; Testing
	// asks for a certificate of an authority that nobody trusts.
	Hosts   []string
	Email   string
	Testing bool
}
