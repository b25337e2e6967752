package route

// Entry is one line of a look-up table.
type Entry struct{ Key, Value string }

// Tables are the look-ups by which a request finds its backend. First its host is
// looked up, exactly in Hosts, else by its end in Wildcards, which yields a class.
// Then class and path together are looked up in Paths by the longest prefix, and
// if that yields nothing the path alone. What is found is a backend or, beginning with
// ChainMark, a chain of conditions with the backend for requests that fit none.
type Tables struct {
	// Hosts maps exact host names to themselves.
	Hosts []Entry
	// Wildcards maps ends of host names (".acme.com") to themselves, the longest first:
	// the first that fits counts.
	Wildcards []Entry
	// Paths maps a class with a path ("acme.com/shop", ".acme.com/", "/shop") to a
	// backend or chain.
	Paths []Entry
	// Chains are sorted by name.
	Chains []Chain
	// RawPaths are the values of Paths that lead nowhere but to services that take paths
	// as they come, sorted.
	RawPaths []string
	// Redirects maps hosts to those that their requests are sent on to.
	Redirects []Entry
	// Listeners are the ports that are not HTTP, sorted by number.
	Listeners []Listener
}

// ChainMark begins the name of a chain; ChainEnd comes between it and the backend
// behind it. Neither stands in the name of a backend.
const (
	ChainMark = "?"
	ChainEnd  = "|"
)

// Nobody is the backend of requests that nobody answers. It has no servers.
const Nobody = "waggle_none"

// Chain is what is tried, in this order, where a look-up alone does not decide.
type Chain struct {
	Name  string
	Steps []Step
}

// Step leads to a backend if all conditions hold.
type Step struct {
	If      []Condition
	Backend string
}
