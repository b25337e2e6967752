package announce_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wagglehq/waggle/pkg/announce"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/reconcile"
)

// stage is an instance, and a bus that writes down what it says and when.
type stage struct {
	mu    sync.Mutex // the test and the loop share the rest
	own   catalog.Instance
	ready bool
	away  bool
	err   error
	begin time.Time
	said  []string
}

// Connected is that of announce.Bus.
func (s *stage) Connected() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.away
}

// Announce is that of announce.Bus.
func (s *stage) Announce(_ context.Context, i catalog.Instance) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.said = append(s.said, fmt.Sprintf("%s %s %d (%d)", time.Since(s.begin).Round(time.Second), i.Hash, i.Revision.Sequence, i.Connections))
	}
	return s.err
}

func (s *stage) get() (catalog.Instance, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.own, s.ready
}

func (s *stage) set(change func(*stage)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s)
}

// TestWhatIsToldAndWhen: at once what is new, at most once a second, and otherwise every
// ten seconds.
func TestWhatIsToldAndWhen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &stage{begin: time.Now()}
		counted := 0
		poke := reconcile.NewPoke()
		loop := announce.Loop("proxy", poke, announce.New(announce.Options{Bus: s, Own: s.get, Count: func(_ context.Context, i *catalog.Instance) {
			counted++
			i.Connections = counted
		}}), nil)
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- loop.Run(ctx) }()
		at := func(second int, change func(*stage)) {
			time.Sleep(time.Until(s.begin.Add(time.Duration(second) * time.Second)))
			s.set(change)
			poke.Now()
			synctest.Wait()
		}
		applied := func(hash string, revision uint64) func(*stage) {
			return func(s *stage) { s.ready, s.own.Hash, s.own.Revision.Sequence = true, hash, revision }
		}
		at(2, func(*stage) {}) // nothing is applied yet
		at(3, applied("a", 1))
		at(5, applied("a", 2)) // can wait
		at(7, applied("b", 3))
		at(17, func(*stage) {})
		at(20, func(s *stage) { s.away = true; applied("c", 4)(s) })
		at(22, func(s *stage) { s.away = false })
		at(24, func(s *stage) { s.err = errors.New("full"); applied("d", 5)(s) })
		at(26, func(s *stage) { s.err = nil })
		at(40, func(*stage) {}) // by then it has been tried again
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		want := "3s a 1 (1), 7s b 3 (2), 17s b 3 (3), 22s c 4 (4), "
		if got := strings.Join(s.said, ", "); !strings.HasPrefix(got, want) || !strings.Contains(got[len(want):], " d 5 ") {
			t.Errorf("said %s\nwant %s and then d", got, want)
		}
	})
}
