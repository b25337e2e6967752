package docker

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/swarm"
)

// errAnswersAgain ends a call that hung while the swarm had no leader and would go on hanging
// now that it has one.
var errAnswersAgain = errors.New("the call hung, and the daemon answers others again")

// hanging watches over calls that wait long. One that was sent while the swarm lost its leader is
// not answered by the next one: it hangs until its deadline, which has grown by then, and its
// caller learns of the new leader many seconds late.
type hanging struct {
	mu *sync.Mutex
	// spent is how many calls of a kind were ended early since one has succeeded: who is slow,
	// rather than forgotten, gets all of its time in the end.
	spent map[kind]int
}

// mostSpent is how many calls of a kind are ended early before one gets all of its time.
const mostSpent = 3

func newHanging() hanging { return hanging{mu: &sync.Mutex{}, spent: map[kind]int{}} }

// doubts is into how many parts the deadline of a call is divided: after the first one asking
// begins, and each question may take as long.
const doubts = 5

// leastSilent is how many questions in turn must go without an answer before one that is answered
// says anything: a busy daemon misses one.
const leastSilent = 2

// watch ends a call of that kind through end, if it hangs although the swarm answers again. The
// caller calls the function that it returns when the call has ended, and learns whether the last
// question has got no answer: then nobody was slow, but nobody was there.
func (c *Client) watch(ctx context.Context, s *session, k kind, end context.CancelCauseFunc) (ended func() (silent bool)) {
	var silent atomic.Int32
	ask := func() {
		for ctx.Err() == nil {
			switch err := c.question(ctx, s); {
			case ctx.Err() != nil:
			case err != nil:
				silent.Add(1)
			case silent.Swap(0) >= leastSilent && c.hanging.mayEnd(k):
				end(errAnswersAgain)
				return
			}
		}
	}
	stop := c.clock.AfterFunc(c.calls.base/doubts, ask)
	return func() bool {
		stop()
		return silent.Load() > 0
	}
}

// mayEnd says whether a call of a kind may be ended early, which counts as done.
func (h *hanging) mayEnd(k kind) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if k == kindUpdate || h.spent[k] >= mostSpent {
		return false
	}
	h.spent[k]++
	return true
}

// answered forgets that calls of a kind were ended early.
func (h *hanging) answered(k kind) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.spent, k)
}

// question asks, at the pace of the deadline, for what only the leader knows and nobody has to
// gather.
func (c *Client) question(ctx context.Context, s *session) error {
	began, limit := time.Now(), c.calls.base/doubts
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	_, err := s.sdk.NodeList(limited, swarm.NodeListOptions{Filters: filters.NewArgs(filters.Arg("name", "-"))})
	if ctx.Err() == nil {
		c.calls.count(kindNodes, resultOf(err))
	}
	pause := time.NewTimer(limit - time.Since(began))
	defer pause.Stop()
	select {
	case <-ctx.Done():
	case <-pause.C:
	}
	return err
}
