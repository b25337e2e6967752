package instances

import (
	"slices"
	"sync"
	"time"

	"github.com/wagglehq/waggle/pkg/catalog"
)

// mostAges is how many revisions are remembered; of more, every other one is.
const mostAges = 1000

// Ages remembers when revisions of the catalog were first seen. Its zero value is ready, and
// its methods may be called from any goroutine.
type Ages struct {
	mu    sync.Mutex
	epoch string
	// seen are in the order of their sequences.
	seen []age
}

type age struct {
	sequence uint64
	at       time.Time
}

// Look notes the present revision.
func (a *Ages) Look(now time.Time, r catalog.Revision) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if r.Epoch != a.epoch {
		a.epoch, a.seen = r.Epoch, nil
	}
	if n := len(a.seen); r.Sequence == 0 || n > 0 && a.seen[n-1].sequence >= r.Sequence {
		return
	}
	if a.seen = append(a.seen, age{r.Sequence, now}); len(a.seen) > mostAges {
		i := -1
		a.seen = slices.DeleteFunc(a.seen, func(age) bool { i++; return i%2 == 1 })
	}
}

// Behind is for how long a newer revision had been there than the one that an instance had
// taken up when it said so, 0 if there was none. It knows nothing of the time before the first
// Look, and at most a thousand revisions exactly.
func (a *Ages) Behind(said time.Time, has catalog.Revision) time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	i := 0
	if has.Epoch == a.epoch {
		i = slices.IndexFunc(a.seen, func(one age) bool { return one.sequence > has.Sequence })
	}
	if i < 0 || i >= len(a.seen) {
		return 0
	}
	return max(0, said.Sub(a.seen[i].at))
}
