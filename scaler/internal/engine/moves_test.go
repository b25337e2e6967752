package engine_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/tooltest"
	"github.com/wagglehq/waggle/scaler/internal/signal"
	"github.com/wagglehq/waggle/scaler/internal/swarmtest"
)

// spread is on which of the nodes the tasks are of a service that began with so many on the
// first one: one more comes to where fewest are, and one less goes from where most are.
func spread(first uint64, changes []uint64) []uint64 {
	nodes, number := []uint64{first, 0}, first
	for _, to := range changes {
		for ; number < to; number++ {
			nodes[slices.Index(nodes, slices.Min(nodes))]++
		}
		for ; number > to; number-- {
			nodes[slices.Index(nodes, slices.Max(nodes))]--
		}
	}
	return nodes
}

// TestAMoveGoesOnAfterAnEnd: whoever moves tasks ends before or after one of the changes of two
// moves, and the next scaler makes the rest of them, and no more.
func TestAMoveGoesOnAfterAnEnd(t *testing.T) {
	ends := errors.New("it ends here")
	for _, labels := range []string{"reschedule=true", "reschedule=true scaleMin=2 scaleMax=9"} {
		for n := range 4 {
			if labels != "reschedule=true" && n != 2 {
				continue // bounds have the pass look at the claim, too, which one of the changes shows
			}
			for _, when := range []string{"before", "after"} {
				t.Run(fmt.Sprint(labels, " ", when, " change ", n+1), func(t *testing.T) {
					s := newScene(t, func(s *swarmtest.Swarm) { s.Create("web", 4, labels) })
					s.list.PublishFrom(func() catalog.Snapshot {
						out := s.swarm.Snapshot()
						out.Nodes = map[string]catalog.Node{}
						tasks := out.Tasks["id-web"]
						for node, number := range spread(4, s.swarm.Changes("web")) {
							id := fmt.Sprint("n", node)
							out.Nodes[id] = catalog.Node{ID: id, Hostname: id, Role: "worker", State: "ready", Availability: "active"}
							for range number {
								tasks[0].Node, tasks = id, tasks[1:]
							}
						}
						return out
					})
					a := s.start("a")
					if err := a.AskMove(t.Context(), signal.Move{ServiceID: "id-web", Service: "web", Since: s.clock()}); err != nil {
						t.Fatal(err)
					}
					tooltest.Eventually(t, "the instance hears of the wish", func() error {
						if asked, _ := a.Asked(s.clock()); len(asked.Moves) == 0 {
							return errors.New("not yet")
						}
						return nil
					})
					calls, isCut := 0, false
					cut := func(string) error {
						if calls++; calls == n+1 {
							isCut = true
							return ends
						}
						return nil
					}
					if when == "before" {
						s.swarm.Before(cut)
					} else {
						s.swarm.After(cut)
					}
					for range 10 {
						s.after(6 * time.Second)
						if a.pass(); isCut {
							break
						}
					}
					b := s.start("b")
					for range 10 {
						s.after(6 * time.Second)
						b.pass()
					}
					s.wantChanges("web", 5, 4, 5, 4)
					tooltest.Eventually(t, "nothing is wished any more", func() error {
						if asked, _ := b.Asked(s.clock()); len(asked.Moves) > 0 {
							return fmt.Errorf("there is still %v", asked.Moves)
						}
						return nil
					})
				})
			}
		}
	}
}
