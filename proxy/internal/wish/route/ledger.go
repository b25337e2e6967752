package route

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wagglehq/waggle/pkg/catalog"
)

// ClaimKind is what a claim is about.
type ClaimKind int

// What can be claimed. Host, Path and Also of a Claim mean something else for each.
const (
	// ClaimRequests is for the requests of a host, or of any, below a path.
	ClaimRequests ClaimKind = iota
	// ClaimRest is for all requests that nobody else claims.
	ClaimRest
	// ClaimRedirect is for all requests of a host, which are sent on to another.
	ClaimRedirect
	// ClaimConnections is for the connections of a port: Path is its number, Host the
	// server name that they ask for and Also how that is compared. Without a name it is
	// for the connections that fit none.
	ClaimConnections
)

// Claim is what only one service, or one group, can have.
type Claim struct {
	// Host is empty for any. Also is what must hold besides, in words.
	Host, Path, Also string
	// Shown is Also as others may see it, if that is something else. It follows from Also.
	Shown string
	Kind  ClaimKind
}

// String is how a claim is named to a user.
func (c Claim) String() string {
	switch c.Kind {
	case ClaimRest:
		return "the default backend"
	case ClaimRedirect:
		return "the redirect from " + c.Host
	case ClaimConnections:
		if c.Also == "" {
			return PortScope(c.Path)
		}
		return fmt.Sprintf("%s for the server name %s (%s)", PortScope(c.Path), c.Host, c.Also)
	case ClaimRequests:
		if c.Also != "" {
			return c.Host + c.Path + " (" + cmp.Or(c.Shown, c.Also) + ")"
		}
	}
	return c.Host + c.Path
}

// GroupScope names to a user what members of a group share.
func GroupScope(group string) string { return "group " + group }

// PortScope is the same for those who share a port.
func PortScope(port string) string { return "TCP port " + port }

// Owner is who has a claim.
type Owner struct {
	// Name is that of the service, or the index of its labels.
	Name string
	// Group is empty if nobody else can have the claim. Value must be the same for all of
	// the group, such as where a redirect leads.
	Group, Value string
}

// admits reports whether somebody else may have the same claim as well.
func (o Owner) admits(other Owner) bool {
	return o.Group != "" && o.Group == other.Group && o.Value == other.Value
}

// Term is something that all who share a thing must say alike.
type Term struct {
	// Scope is what they share, as it is named to a user ("group shop").
	Scope string
	// About tells apart the terms of one scope.
	About string
	// Value is what is said, in the form that its equals have.
	Value any
	// Said are the labels that say it. Each Term of one scope and matter has the same, in
	// the same order.
	Said []Said
}

// Said is what one label says, fit to be shown.
type Said struct {
	Label, Text string
	// Absent says that there is no such label.
	Absent bool
}

// Terms are what those who share a port or a group must agree on. Who says nothing of
// something takes what others say.
type Terms struct {
	Scope string
	List  []Term
}

// Text adds what a label says, unless that is nothing.
func (t *Terms) Text(label, value string) {
	if value != "" {
		t.List = append(t.List, Term{Scope: t.Scope, About: label, Value: value, Said: []Said{{Label: label, Text: value}}})
	}
}

// Number is Text for a number, of which 0 is nothing.
func (t *Terms) Number(label string, n int) {
	if n > 0 {
		t.Text(label, strconv.Itoa(n))
	}
}

// Duration is Text for a time, of which 0 is nothing.
func (t *Terms) Duration(label string, d time.Duration) {
	if d > 0 {
		t.Text(label, d.String())
	}
}

// Ledger knows who owns which claim, and what members of groups have said first.
type Ledger struct {
	owners map[Claim]Owner
	first  map[termKey]firstMember
	// routed are the hosts that somebody routes, with one who does, and redirected those
	// that are sent on.
	routed, redirected map[string]string
	// Secure are the ports on which the proxy speaks TLS for the hosts that are routed.
	Secure []int
}

type termKey struct{ scope, about string }

type firstMember struct {
	name string
	term *Term
}

// NewLedger returns one in which nobody has anything, with room for so many services.
func NewLedger(services int) *Ledger {
	return &Ledger{
		owners: make(map[Claim]Owner, 2*services), first: map[termKey]firstMember{},
		routed: make(map[string]string, services), redirected: map[string]string{},
	}
}

// Clear takes everything from everybody.
func (l *Ledger) Clear() {
	clear(l.owners)
	clear(l.first)
	clear(l.routed)
	clear(l.redirected)
	l.Secure = nil
}

// owner is the service as the one that has a claim, under a name.
func (s *Service) owner(name string, c Claim) Owner {
	o := s.Shared[c]
	o.Name = name
	return o
}

// Conflict returns why a service cannot have its claims, or cannot be in its groups; nil
// if it can. name is what it is called in the ledger.
func (l *Ledger) Conflict(name string, s *Service) *ConflictError {
	for _, c := range s.Claims {
		if owner, ok := l.owners[c]; ok && !owner.admits(s.owner(name, c)) {
			return &ConflictError{Service: name, Claim: c.String(), Winner: owner.Name, Label: c.label()}
		}
		// A redirect takes all requests of its host, so nobody else may route it.
		others := l.redirected
		switch c.Kind {
		case ClaimRedirect:
			others = l.routed
		case ClaimConnections:
			if owner, ok := l.terminated(name, c); ok {
				return &ConflictError{Service: name, Claim: c.String(), Winner: owner, Label: c.label()}
			}
			continue
		case ClaimRequests, ClaimRest:
		}
		if owner, ok := others[c.Host]; ok && owner != name {
			return &ConflictError{Service: name, Claim: c.String(), Winner: owner}
		}
	}
	for i := range s.Terms {
		t := &s.Terms[i]
		if first, ok := l.first[termKey{t.Scope, t.About}]; ok && !reflect.DeepEqual(first.term.Value, t.Value) {
			return t.conflict(name, first)
		}
	}
	return nil
}

// terminated returns another service whose requests a claim of connections would take: those
// of the same host, or below the same name, on a port where the proxy ends TLS.
func (l *Ledger) terminated(name string, c Claim) (owner string, ok bool) {
	port, err := strconv.Atoi(c.Path)
	if err != nil || !slices.Contains(l.Secure, port) {
		return "", false
	}
	if owner, ok = l.routed[c.Host]; ok {
		return owner, owner != name
	}
	if !strings.HasPrefix(c.Host, ".") {
		return "", false
	}
	for host, by := range l.routed {
		if rest, wildcard := strings.CutPrefix(host, "*"); wildcard && strings.HasSuffix(rest, c.Host) && by != name && (owner == "" || by < owner) {
			owner = by
		}
	}
	return owner, owner != ""
}

// conflict names the first label that says something else than the first member's.
func (t *Term) conflict(name string, first firstMember) *ConflictError {
	err := &ConflictError{Service: name, Claim: t.Scope, Winner: first.name, Label: "serviceGroup", Has: "for something else"}
	for i, theirs := range first.term.Said {
		if theirs != t.Said[i] {
			err.Label, err.Has = theirs.Label, theirs.Text
			if theirs.Absent {
				err.Has = "absent"
			}
			break
		}
	}
	return err
}

// Take enters a service that is in no conflict.
func (l *Ledger) Take(name string, s *Service) {
	for _, c := range s.Claims {
		if _, owned := l.owners[c]; !owned {
			l.owners[c] = s.owner(name, c)
		}
		switch {
		case c.Kind == ClaimRedirect:
			l.redirected[c.Host] = name
		case c.Kind != ClaimConnections && c.Host != "":
			l.routed[c.Host] = name
		}
	}
	for i := range s.Terms {
		t := &s.Terms[i]
		if key := (termKey{t.Scope, t.About}); l.first[key].term == nil {
			l.first[key] = firstMember{name, t}
		}
	}
}

// label is the one to change if a claim is somebody else's; servicePath if empty.
func (c Claim) label() string {
	if c.Kind == ClaimConnections {
		return "srcPort"
	}
	return ""
}

// ConflictError says that another service has a route already.
type ConflictError struct {
	Service string
	// Claim is the host and path, Winner the name of the service that has it.
	Claim  string
	Winner string
	// Label is the one to change, without its prefix; servicePath if empty.
	Label string
	// Has is what the winner's label says, if what is claimed can be shared by
	// those who agree on it.
	Has string
}

// Error names the claim and the service that has it.
func (e *ConflictError) Error() string {
	if e.Has != "" {
		return fmt.Sprintf("%s is shared with %s, whose %s%s is %s", e.Claim, e.Winner, catalog.Prefix, e.Label, e.Has)
	}
	return fmt.Sprintf("the route %s belongs to %s, which had it first", e.Claim, e.Winner)
}

// Hint says what the service that lost can do.
func (e *ConflictError) Hint() string {
	switch {
	case e.Has != "":
		return fmt.Sprintf("say the same as %s, or nothing", e.Winner)
	case e.Label == "":
		return "choose another path or domain, share it by the same com.df.serviceGroup on both, or remove " + e.Winner
	case e.Label == "srcPort":
		return "choose another port or server name, share it by the same com.df.serviceGroup on both, or remove " + e.Winner
	}
	return "choose another path or domain, or remove " + e.Winner
}

// mostAlso is how much of the conditions of a claim is shown, in bytes. Each claim of a route
// is compared with others' by them.
const mostAlso = 256

// also are the conditions of a claim, in words; of long ones a sum stands for the rest.
func also(text string) string {
	if len(text) <= mostAlso {
		return text
	}
	sum := sha256.Sum256([]byte(text))
	return strings.ToValidUTF8(text[:mostAlso], "") + "... #" + hex.EncodeToString(sum[:8])
}

// Claim makes the claims of a route.
func (r Route) Claim() []Claim {
	hosts := r.Hosts
	if hosts == nil {
		hosts = []string{""}
	}
	var list []string
	if !r.PathType.Prefix() {
		list = append(list, "pathType "+string(r.PathType))
	}
	if r.HostMatch != "" {
		list = append(list, "host "+string(r.HostMatch))
	}
	shown, differs := slices.Clone(list), false
	for _, c := range r.Conditions {
		list, shown, differs = append(list, c.String()), append(shown, c.Shown()), differs || c.Secret
	}
	if r.Redirected {
		list, shown = append(list, "to be redirected"), append(shown, "to be redirected")
	}
	if !differs {
		shown = nil
	}
	also, public := also(strings.Join(list, ", ")), also(strings.Join(shown, ", "))
	out := make([]Claim, 0, len(hosts)*len(r.Paths)+1)
	for _, h := range hosts {
		for _, p := range r.Paths {
			out = append(out, Claim{Host: h, Path: p, Also: also, Shown: public})
		}
	}
	if r.Default {
		out = append(out, Claim{Path: "/", Kind: ClaimRest})
	}
	return out
}

// Steps are the conditions of one of its claims that a look-up of host and path does not
// decide about.
func (r *Route) Steps(c Claim) []Condition {
	out := slices.Clone(r.Conditions)
	if kind, ok := r.PathType.Kind(); ok && !kind.Type.Prefix() {
		out = append([]Condition{kind.Condition(false, c.Path)}, out...)
	}
	if m := r.HostMatch; m != "" {
		out = append([]Condition{{Fetch: FetchHost, Match: m, IgnoreCase: true, Values: []string{c.Host}}}, out...)
	}
	return out
}

// claims are those of a stream.
func (s Stream) claims() []Claim {
	port := strconv.Itoa(s.Port)
	if s.Names == nil {
		return []Claim{{Path: port, Kind: ClaimConnections}}
	}
	out := make([]Claim, len(s.Names))
	for i, n := range s.Names {
		out[i] = Claim{Host: n.Value, Path: port, Also: string(n.Match), Kind: ClaimConnections}
	}
	return out
}

// Claim enters what routes, redirects and streams of a service claim, and for which groups.
func (s *Service) Claim() {
	shared := func(c Claim, group, value string) {
		s.Claims = append(s.Claims, c)
		if group == "" {
			return
		}
		if s.Shared == nil {
			s.Shared = map[Claim]Owner{}
		}
		s.Shared[c] = Owner{Group: group, Value: value}
	}
	for _, r := range s.Routes {
		for _, c := range r.Claims {
			shared(c, r.Group, "")
		}
	}
	for _, r := range s.Redirects {
		shared(Claim{Host: r.From, Kind: ClaimRedirect}, r.Group, r.To)
	}
	for _, st := range s.Streams {
		for _, c := range st.claims() {
			shared(c, st.Group, "")
		}
	}
}
