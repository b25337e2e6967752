// Package budget says how much of the proxy the labels of one service, and those of all
// services together, may take: what HAProxy keeps in memory, what it compares requests
// with, and how long it may compute where everybody waits for it. It is pure.
//
// What is counted here harms others if it is without bounds, however right each label is by
// itself. A bound of one service keeps it from harming others, one of all keeps HAProxy
// within the memory that it has.
package budget

import (
	"cmp"
	"fmt"
	"strconv"

	"github.com/wagglehq/waggle/pkg/label"
)

// Kind is a thing that is counted.
type Kind int

// The Kinds.
const (
	// Text is that of the labels, in bytes; one without an index counts once for each index
	// that has it.
	Text Kind = iota
	// Indexes are destinations: groups of labels, each of which makes a backend or two.
	Indexes
	// Claims are entries of the look-up tables: hosts times paths, redirects, server names.
	Claims
	// Wide are claims that are tried for every host, those of others too.
	Wide
	// Crossings are claims that are entered once more for each host of the same service.
	Crossings
	// Steps are comparisons beside the look-up, one after the other.
	Steps
	// Regexps are regular expressions.
	Regexps
	// Ports are those on which the proxy listens for one service.
	Ports
	// Users are names with a password.
	Users
	// Hashing is the time, in microseconds, in which all hashes of passwords are computed
	// once, as HAProxy does at each check and each reload.
	Hashing
	// Tables are those in which clients are counted.
	Tables
	// PEM is the size of certificates, in bytes.
	PEM

	kinds
)

// Limit is how much of one Kind there may be.
type Limit struct {
	Kind Kind
	// Service is the most for one service, All for all together; 0 is no limit.
	Service, All int
	// Label is the one that usually brings it, without its prefix.
	Label string
	// What is counted, and what would be right instead, in words.
	What, Instead string
}

// Limits are all limits, in the order of the Kinds.
func Limits() [kinds]Limit {
	return [kinds]Limit{
		{Text, 1_048_576, 16_777_216, "servicePath", "bytes of labels, those without an index once for each index that has them", "shorter lists, or lists at the indexes that need them"},
		{Indexes, 300, 10_000, "port", "indexes", "fewer destinations, or several services"},
		{Claims, 20_000, 100_000, "servicePath", "routes, one for each host with each path", "fewer hosts or paths, such as a wildcard or the beginning that the paths have in common"},
		{Wide, 100, 2_000, "servicePath", "routes that are tried for every host: those without an exact host that have an aclName, begin with /.well-known, or compare hosts by serviceDomainAlgo", "exact hosts, or no aclName"},
		{Crossings, 20_000, 0, "servicePath", "entries, because routes of one index are tried for each host of others", "exact hosts at each index, or no conditions and no aclName where there are many hosts"},
		{Steps, 200, 2_000, "servicePath", "comparisons that no look-up decides: by conditions, pathType, or serviceDomainAlgo", "paths compared by their beginning, and exact hosts"},
		{Regexps, 40, 1_000, "servicePath", "regular expressions", "paths compared by their beginning, exact hosts, or fewer alternatives"},
		{Ports, 100, 1_000, "srcPort", "ports", "fewer ports, or server names that share one"},
		{Users, 1_000, 20_000, "users", "users", "fewer users, or a com.df.forwardAuth"},
		{Hashing, 1_000_000, 5_000_000, "users", "microseconds of computing hashes", "cheaper hashes such as $6$ without rounds, or fewer users"},
		{Tables, 20, 100, "rateLimit", "tables of clients, one for each rateLimit of an index", "a rateLimit at fewer indexes"},
		{PEM, 32_768, 16_777_216, "serviceCert", "bytes of certificates", "a certificate in the proxy's folder or by its API"},
	}
}

// Ask is how much of one Kind a service asks for, and by which label.
type Ask struct {
	N int
	// Label has its prefix and index.
	Label string
}

// Bill is all that a service asks for, by Kind.
type Bill [kinds]Ask

// Add counts n more of a kind, for which a label asks. The first one stands for all.
func (b *Bill) Add(k Kind, n int, label string) {
	if n <= 0 {
		return
	}
	b[k].Label = cmp.Or(b[k].Label, label)
	b[k].N = add(b[k].N, n)
}

// Times multiplies without overflow.
func Times(a, b int) int {
	if a > 0 && b > most/a {
		return most
	}
	return a * b
}

// most stands for whatever is greater.
const most = 1 << 40

func add(a, b int) int { return min(a+b, most) }

// Exceeded returns the first limit of one service that a Bill exceeds.
func (b *Bill) Exceeded() (Limit, bool) {
	for _, l := range Limits() {
		if l.Service > 0 && b[l.Kind].N > l.Service {
			return l, true
		}
	}
	return Limit{}, false
}

// Want says what would be right where one service exceeds a limit.
func (l Limit) Want(n int) string {
	return fmt.Sprintf("at most %d %s of one service, and these are %d; rather %s", l.Service, l.What, n, l.Instead)
}

// Account is what all services together have taken so far.
type Account struct {
	limits [kinds]Limit
	// factor multiplies what all together may take.
	factor int
	taken  [kinds]int
}

// NewAccount returns one of which nothing is taken. factor multiplies what all together may
// take; 0 counts as 1.
func NewAccount(factor int) Account { return Account{limits: Limits(), factor: max(1, factor)} }

// Refuses returns the fault of a service for which there is not enough left, nil if there is.
func (a *Account) Refuses(b *Bill) error {
	for k, l := range &a.limits {
		if b[k].N == 0 || l.All == 0 {
			continue
		}
		if limit := Times(l.All, a.factor); a.taken[k]+b[k].N > limit {
			return label.Faults{{
				Label: b[k].Label, Text: strconv.Itoa(b[k].N),
				Want: fmt.Sprintf("at most %d %s: all services together may have %d, and those that came first have %d; rather %s, or a greater label-budget of the proxy",
					max(0, limit-a.taken[k]), l.What, limit, a.taken[k], l.Instead),
			}}
		}
	}
	return nil
}

// Take enters a service that is not refused.
func (a *Account) Take(b *Bill) {
	for k := range a.taken {
		a.taken[k] = add(a.taken[k], b[k].N)
	}
}
