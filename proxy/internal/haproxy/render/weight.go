package render

import (
	"math"
	"slices"
	"strings"

	"github.com/wagglehq/waggle/proxy/internal/haproxy/file"
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
func weigh(b *file.Backend, members []member) {
	if !slices.ContainsFunc(members, func(m member) bool { return m.share.Weighted }) {
		return
	}
	weights := map[string]int{}
	for i, w := range taskWeights(members) {
		weights[members[i].share.Member] = w
	}
	for i, s := range b.Servers {
		name, _, _ := strings.Cut(s.Name, ":")
		b.Servers[i] = s.Weighted(weights[name])
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
