package vault_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wagglehq/waggle/pkg/bus"
	"github.com/wagglehq/waggle/pkg/bustest"
	"github.com/wagglehq/waggle/pkg/tooltest"
	"github.com/wagglehq/waggle/proxy/internal/certs/sealed"
	"github.com/wagglehq/waggle/proxy/internal/certs/vault"
)

const prefix = "proxy.test."

func open(t *testing.T, b *bus.Bus, dir string, epoch func() string) (*vault.Vault, *bus.Mirror) {
	t.Helper()
	key, err := sealed.New("test", "a secret of sixteen bytes")
	if err != nil {
		t.Fatal(err)
	}
	bucket := b.Bucket(bus.ManualBucket)
	mirror := bucket.Mirror(prefix+">", func() {})
	bustest.Run(t, mirror.Run)
	return vault.New(vault.Options{
		Prefix: prefix, Bucket: bucket, Mirror: mirror, Copy: filepath.Join(dir, "copy.json"), What: "a value", Key: key, Log: slog.New(slog.DiscardHandler),
		Epoch: func() (string, bool) { return epoch(), true },
	}), mirror
}

func e1() string { return "e1" }

// TestEachWriteFollowsTheLast: of two who know the same value one writes the next, and the other is
// told, however long he slept in between.
func TestEachWriteFollowsTheLast(t *testing.T) {
	b := bustest.Start(t).Prepared()
	one, _ := open(t, b, t.TempDir(), e1)
	two, _ := open(t, b, t.TempDir(), e1)
	first, err := one.Write(t.Context(), "a", "1", 0)
	if err != nil {
		t.Fatal(err)
	}
	if text, stamp, err := two.Read(t.Context(), "a"); err != nil || text != "1" || stamp != first {
		t.Fatalf("%q %d, %v", text, stamp, err)
	}
	if _, err := two.Write(t.Context(), "a", "2", first); err != nil {
		t.Fatal(err)
	}
	if _, err := one.Write(t.Context(), "a", "late", first); !errors.Is(err, vault.ErrConflict) {
		t.Errorf("the late one: %v", err)
	}
	if _, err := one.Write(t.Context(), "a", "anew", 0); !errors.Is(err, vault.ErrConflict) {
		t.Errorf("one who knows nothing: %v", err)
	}
	if text, _, err := one.Read(t.Context(), "a"); err != nil || text != "2" {
		t.Errorf("%q, %v", text, err)
	}
}

// TestALostStoreBringsNobodyBack: after the bus has lost its store, whoever knew the last value
// writes the next one, whatever the epoch is by then, and all others have all that they had.
func TestALostStoreBringsNobodyBack(t *testing.T) {
	s := bustest.Start(t)
	b := s.Prepared()
	var epoch atomic.Value
	epoch.Store("e1")
	now := func() string { return epoch.Load().(string) }
	one, _ := open(t, b, t.TempDir(), now)
	two, mirror := open(t, b, t.TempDir(), now)
	stamps := map[string]uint64{}
	for _, name := range []string{"a", "b", "c"} {
		stamp, err := one.Write(t.Context(), name, name+"1", 0)
		if err != nil {
			t.Fatal(err)
		}
		stamps[name] = stamp
	}
	has := func(v *vault.Vault, want string) {
		t.Helper()
		tooltest.Eventually(t, want, func() error {
			looked, err := v.Look(t.Context())
			if err != nil {
				return err
			}
			if got := fmt.Sprint(looked.Values); got != want {
				return errors.New(got)
			}
			return nil
		})
	}
	has(one, "map[a:a1 b:b1 c:c1]")
	has(two, "map[a:a1 b:b1 c:c1]")
	s.Stop()
	s.LoseStore()
	s.StartAgain()
	s.Prepared()
	tooltest.Eventually(t, "the next value is written", func() error {
		_, err := one.Write(t.Context(), "a", "a2", stamps["a"])
		return err
	})
	tooltest.Eventually(t, "the empty store is read", func() error {
		if !mirror.Synced() {
			return errors.New("not yet")
		}
		return nil
	})
	has(two, "map[a:a2 b:b1 c:c1]")
	epoch.Store("e2")
	has(one, "map[a:a2 b:b1 c:c1]")
	has(two, "map[a:a2 b:b1 c:c1]")
	fresh, _ := open(t, s.Connect("proxy"), t.TempDir(), now)
	has(fresh, "map[a:a2 b:b1 c:c1]")
}

// TestHoldersThatAreKilled: some take turns by a lease, and count under it, while each may be killed
// or paused at any moment. Nobody who believes in the lease finds another one who does, and no
// count is lost or made twice, also by one who wakes up late.
func TestHoldersThatAreKilled(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			s := bustest.Start(t)
			s.Prepared()
			var holders, most, counted, late atomic.Int32
			var wg sync.WaitGroup
			ctx, stop := context.WithTimeout(t.Context(), 12*time.Second)
			defer stop()
			live := func(i int, r *rand.Rand) {
				for n := 0; ctx.Err() == nil; n++ {
					life, kill := context.WithTimeout(ctx, time.Duration(300+r.IntN(1500))*time.Millisecond)
					b := s.Connect("proxy")
					v, _ := open(t, b, t.TempDir(), e1)
					lease := b.Lease(bus.LeaseOptions{
						Bucket: bus.ManualBucket, Key: "proxy.test-lease", Holder: fmt.Sprintf("%d-%d", i, n), TTL: 2 * time.Second, Willing: func() bool { return true },
					})
					var running sync.WaitGroup
					running.Go(func() { _ = lease.Run(life) })
					for life.Err() == nil {
						if !lease.Held() {
							select {
							case <-life.Done():
							case <-time.After(10 * time.Millisecond):
							}
							continue
						}
						text, stamp, err := v.Read(life, "count")
						if err != nil {
							continue
						}
						now := holders.Add(1)
						if lease.Held() {
							most.Store(max(most.Load(), now))
						}
						count := 0
						_, _ = fmt.Sscan(text, &count)
						holders.Add(-1)
						switch _, err = v.Write(life, "count", fmt.Sprint(count+1), stamp); {
						case err == nil:
							counted.Add(1)
						case errors.Is(err, vault.ErrConflict):
							late.Add(1)
						case life.Err() != nil:
							// Whether it was written nobody knows: it is looked up in the end.
							counted.Add(1 << 16)
						}
					}
					if r.IntN(2) == 0 {
						b.Close() // a power cut: nothing is given back
					}
					kill()
					running.Wait()
				}
			}
			for i := range 3 {
				wg.Go(func() { live(i, rand.New(rand.NewPCG(seed, uint64(i)))) }) //nolint:gosec // the same in each run.
			}
			wg.Wait()
			v, _ := open(t, s.Connect("proxy"), t.TempDir(), e1)
			text, _, err := v.Read(t.Context(), "count")
			if err != nil {
				t.Fatal(err)
			}
			var total int32
			_, _ = fmt.Sscan(text, &total)
			sure, unsure := counted.Load()&0xffff, counted.Load()>>16
			if total < sure || total > sure+unsure || total == 0 {
				t.Errorf("the count is %d, of %d that were made and %d that may have been", total, sure, unsure)
			}
			if most.Load() > 1 {
				t.Errorf("%d held the lease at once", most.Load())
			}
		})
	}
}
