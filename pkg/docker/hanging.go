package docker

import (
	"context"
	"errors"
	"sync"
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
	// spent are the kinds of which a call was ended early and none has succeeded since: who is
	// slow, rather than forgotten, gets all of its time.
	spent map[kind]bool
}

func newHanging() hanging { return hanging{mu: &sync.Mutex{}, spent: map[kind]bool{}} }

// doubts is into how many parts the deadline of a call is divided: after the first one asking
// begins, and each question may take as long.
const doubts = 5

// leastSilent is how many questions in turn must go without an answer before one that is answered
// says anything: a busy daemon misses one.
const leastSilent = 2

// watch ends a call of that kind through end, if it hangs although the swarm answers again. The
// caller calls the function that it returns when the call has ended.
func (c *Client) watch(ctx context.Context, s *session, k kind, end context.CancelCauseFunc) func() {
	c.hanging.mu.Lock()
	defer c.hanging.mu.Unlock()
	if c.hanging.spent[k] || k == kindUpdate {
		return func() {}
	}
	return c.clock.AfterFunc(c.calls.base/doubts, func() {
		silent := 0
		for ctx.Err() == nil {
			switch err := c.question(ctx, s); {
			case ctx.Err() != nil:
			case err != nil:
				silent++
			case silent >= leastSilent:
				c.hanging.mu.Lock()
				c.hanging.spent[k] = true
				c.hanging.mu.Unlock()
				end(errAnswersAgain)
				return
			default:
				silent = 0
			}
		}
	})
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
