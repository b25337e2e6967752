package chaos

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/wagglehq/waggle/compose/e2e/load"
	"github.com/wagglehq/waggle/pkg/tooltest"
)

// trouble is something that happens to a swarm while requests flow and labels change.
type trouble struct {
	// struck are nodes whose proxies cannot serve meanwhile; mute are further managers
	// that cannot be asked for changes.
	struck, mute []string
	// happens returns when the trouble is over.
	happens func(context.Context) error
	// slack is how long after that changes may take to be in force; 5 s if 0.
	slack time.Duration
	// deaf says that the only server that the recorder can hear goes.
	deaf bool
}

// promptly is how long after the end of a trouble all changes are in force.
const promptly = 5 * time.Second

// under plays a trouble and judges what came of it.
func (w *world) under(ctx context.Context, t trouble) error {
	w.turn++
	w.down = nil
	alive := without(w.Nodes(), t.struck)
	c := &changes{
		w: w, managers: without(w.Managers(), slices.Concat(t.struck, t.mute)), away: t.struck, prefix: fmt.Sprintf("chaos%d-", w.turn),
	}
	if len(c.managers) == 0 {
		c.managers = w.Managers()
	}
	since := time.Now()
	err := c.begin(ctx, alive)
	if err == nil {
		err = w.hears(ctx, since)
	}
	if err != nil {
		return errors.Join(err, c.end(ctx))
	}
	since = time.Now()
	flowing, dry := context.WithCancel(ctx)
	defer dry()
	flow := w.Flow(flowing, alive, path(c.steady(), 0))
	changing, rest := context.WithCancel(ctx)
	defer rest()
	var wait sync.WaitGroup
	wait.Go(func() { c.run(changing) })
	if err = tooltest.Pause(ctx, 2*time.Second); err == nil {
		err = t.happens(ctx)
	}
	over := time.Now()
	// What Swarm calls down by now it has yet to start anew: its proxies need not be prompt.
	restarted := slices.Clone(w.down)
	watching, enough := context.WithCancel(ctx)
	defer enough()
	led := w.leadership(watching, c.managers)
	rest()
	wait.Wait()
	again := sync.OnceValue(func() time.Time { enough(); return led() })
	if err == nil {
		t.struck = append(slices.Clone(t.struck), restarted...)
		err = w.settle(ctx, c, t, without(alive, restarted), over, again)
	}
	again() // From here on nobody else notes anything.
	dry()
	err = errors.Join(err, w.counted(flow()))
	if paused := tooltest.Pause(ctx, time.Second); paused != nil {
		return errors.Join(err, paused)
	}
	w.verdict(since, t.deaf)
	return errors.Join(err, c.end(ctx))
}

// hears waits until the recorder has heard of what was written since a moment. The part before may
// have taken its servers from it.
func (w *world) hears(ctx context.Context, since time.Time) error {
	took, err := poll(ctx, wholeLimit, "the recorder to hear what is written", func(context.Context) error {
		if newest := w.record.Newest(); newest.Before(since) {
			return fmt.Errorf("the newest that it has heard of was written %s before", seconds(since.Sub(newest)))
		}
		return nil
	})
	if took > promptly {
		w.Say("the recorder heard nothing for %s", seconds(took))
	}
	return err
}

// settle waits until all changes are in force. As long as the swarm has no leader, nobody
// can know what it wants, and as long as the bucket has none, nobody can write to it: the
// trouble is over when both are led, which led tells.
func (w *world) settle(ctx context.Context, c *changes, t trouble, alive []string, over time.Time, led func() time.Time) error {
	err := c.inForce(ctx, alive)
	now := time.Now()
	if again := led(); again.After(over) {
		w.Say("the swarm or the bucket was without a leader for up to %s more", seconds(again.Sub(over)))
		over = again
	}
	took := now.Sub(over)
	w.Say("changes: %d made, %d refused by the swarm; all in force %s after the end", c.made, c.refused, seconds(took))
	if c.refused > 0 {
		w.Say("the last refusal: %v", c.last)
	}
	slack := t.slack
	if slack == 0 {
		slack = promptly
	}
	switch {
	case err != nil:
		w.Fault("changes are not in force: %v", err)
		return nil
	case took > slack:
		w.Fault("changes were in force %s after the end, want %s", seconds(took), seconds(slack))
	}
	if c.made == 0 {
		w.Fault("no change could be made, so nothing is shown")
	}
	if len(t.struck) == 0 {
		return nil
	}
	if back, err := poll(ctx, 3*time.Minute, "the swarm to have all its nodes", w.ready); err != nil {
		return err
	} else if back > time.Second {
		w.Say("the swarm took %s more to have %s", seconds(back), strings.Join(t.struck, ", "))
	}
	err = c.inForce(ctx, t.struck)
	if err != nil && c.leftIdle(ctx) == nil && len(c.idle) > 0 {
		w.Say("the swarm runs no task of %s, so that nothing can answer there", strings.Join(c.idle, ", "))
		err = c.inForce(ctx, t.struck)
	}
	if err != nil {
		w.Fault("the nodes that were struck: %v", err)
		return nil
	}
	w.Say("in force on %s %s after the end", strings.Join(t.struck, ", "), seconds(time.Since(over)))
	return nil
}

// counted tells what became of the requests, none of which may fail. A node that Swarm calls
// down has been told to stop everything when it is found again, the proxy too: it is none
// of those that live, and what failed there is said and is no fault.
func (w *world) counted(reports map[string]load.Report, err error) error {
	requests, failed := 0, 0
	for _, name := range slices.Sorted(maps.Keys(reports)) {
		r := reports[name]
		requests, failed = requests+r.Requests, failed+r.Failed
		node, _, _ := strings.Cut(name, ",")
		switch {
		case r.Failed > 0 && slices.Contains(w.down, node):
			w.Say("Swarm called %s down, and started its tasks anew: %d of %d requests failed (%s)", node, r.Failed, r.Requests, name)
			failed -= r.Failed
		case r.Failed > 0:
			w.Fault("%s: %d of %d requests failed: %v %v %v", name, r.Failed, r.Requests, r.Kinds, r.Statuses, r.Examples)
		}
	}
	w.Say("requests to the nodes that live: %d sent, %d failed", requests, failed)
	return err
}

// blind is the part of all messages that may be replaced before a reader has come to
// them, as when its server goes; every one of them might have been at fault.
const blind = 10

// most is how many faults of the bucket are shown one by one.
const most = 10

// verdict tells what the recorder has seen. A recorder whose only server goes is deaf
// meanwhile, and is judged by what it has heard.
func (w *world) verdict(since time.Time, deaf bool) {
	v := w.record.Verdict(since)
	w.Say("the bucket: %d messages, %d that nobody has seen, %d deletions or older values", v.Messages, len(v.Unseen), len(v.Faults))
	for i, fault := range v.Faults {
		if i == most {
			w.Fault("the bucket: %d more", len(v.Faults)-most)
			break
		}
		w.Fault("the bucket: %s", fault)
	}
	if !deaf && len(v.Unseen) > (v.Messages+len(v.Unseen))/blind {
		w.Fault("the bucket: so many messages were seen by nobody that nothing is shown: %v", v.Unseen)
	}
	if v.Messages == 0 {
		w.Fault("the bucket: nothing was written, so nothing is shown")
	}
}
