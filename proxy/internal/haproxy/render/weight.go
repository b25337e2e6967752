package render

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/wagglehq/waggle/proxy/internal/wish/route"
)

// member is a service of a group as one backend sees it.
type member struct {
	share route.Share
	tasks int
}

// maxWeight is HAProxy's.
const maxWeight = 256

// weigh gives the servers of a group's backend weights that make up the share of each
// service. Without a weight on any of them all servers count alike.
func weigh(b *Backend, members []member) {
	if !slices.ContainsFunc(members, func(m member) bool { return m.share.Weighted }) {
		return
	}
	weights := map[string]int{}
	for i, w := range taskWeights(members) {
		weights[members[i].share.Member] = w
	}
	for i, s := range b.Servers {
		name, _, _ := strings.Cut(s.Name, ":")
		b.Servers[i].Options = strings.TrimRight(weightWord+" "+strconv.Itoa(weights[name])+" "+s.Options, " ")
	}
}

// taskWeights are the weights of the tasks of each member, whole numbers up to 256
// whose sums are as near to the shares as such numbers can be; of equally good ones the
// greatest. A share above 0 is never rounded to nothing.
func taskWeights(members []member) []int {
	var all, most float64
	per := make([]float64, len(members))
	for i, m := range members {
		if m.tasks == 0 {
			continue // its share goes to the others
		}
		per[i] = float64(m.share.Weight) / float64(m.tasks)
		all += float64(m.share.Weight)
		most = max(most, per[i])
	}
	best, out := math.Inf(1), make([]int, len(members))
	if most == 0 {
		return out
	}
	try := make([]int, len(members))
	for top := maxWeight; top > 0; top-- {
		sum := 0
		for i, p := range per {
			try[i] = int(math.Round(p / most * float64(top)))
			if p > 0 {
				try[i] = max(try[i], 1)
			}
			sum += try[i] * members[i].tasks
		}
		var wrong float64
		for i, m := range members {
			if m.tasks > 0 {
				wrong += math.Abs(float64(try[i]*m.tasks)/float64(sum) - float64(m.share.Weight)/all)
			}
		}
		if wrong < best-1e-9 {
			best = wrong
			copy(out, try)
		}
	}
	return out
}

// The words of a server that HAProxy can change while it runs. They come first, in
// this order.
const (
	weightWord  = "weight"
	maxConnWord = "maxconn"
)

// Weight is how much a server counts, MaxConn how many connections it gets at a
// time, 0 for any number. Both can be changed while HAProxy runs.
func (s Server) Weight() int { weight, _, _ := s.split(); return weight }

// MaxConn is told at Weight.
func (s Server) MaxConn() int { _, maxConn, _ := s.split(); return maxConn }

// WithWeight returns the server with another weight.
func (s Server) WithWeight(weight int) Server {
	old, _, _ := s.split()
	if old == weight {
		return s
	}
	options := s.Options
	if rest, ok := strings.CutPrefix(options, weightWord+" "); ok {
		_, options, _ = strings.Cut(rest, " ")
	}
	s.Options = strings.TrimRight(weightWord+" "+strconv.Itoa(weight)+" "+options, " ")
	return s
}

// split takes off the words that can be changed while HAProxy runs.
func (s Server) split() (weight, maxConn int, rest string) {
	take := func(word string, def int) int {
		if text, ok := strings.CutPrefix(rest, word+" "); ok {
			var number string
			number, rest, _ = strings.Cut(text, " ")
			if n, err := strconv.Atoi(number); err == nil {
				return n
			}
		}
		return def
	}
	rest = s.Options
	weight = take(weightWord, 1)
	maxConn = take(maxConnWord, 0)
	return weight, maxConn, rest
}

// Becomes reports whether a running server can be made another one without being
// added anew.
func (s Server) Becomes(other Server) bool {
	_, _, have := s.split()
	_, _, want := other.split()
	return s.Name == other.Name && s.Addr == other.Addr && have == want
}
