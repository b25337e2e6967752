package bus

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// answer comes after a while, or never.
type answer struct {
	ok  chan *jetstream.PubAck
	err chan error
}

func (a answer) Ok() <-chan *jetstream.PubAck { return a.ok }
func (a answer) Err() <-chan error            { return a.err }
func (a answer) Msg() *nats.Msg               { return nil }

const never = time.Duration(-1)

func after(d time.Duration, sequence uint64) answer {
	a := answer{make(chan *jetstream.PubAck, 1), make(chan error, 1)}
	if d != never {
		time.AfterFunc(d, func() { a.ok <- &jetstream.PubAck{Sequence: sequence} })
	}
	return a
}

// TestWhatIsNeverAnsweredIsGivenUpSoon: a server that takes writes and then fails answers
// none of them, and one that is slow answers all in the end.
func TestWhatIsNeverAnsweredIsGivenUpSoon(t *testing.T) {
	const second = time.Second
	for name, c := range map[string]struct {
		answers []time.Duration
		// answered is how many are, which takes so long.
		answered int
		took     time.Duration
	}{
		"all at once":                         {[]time.Duration{0, 0, 0}, 3, 0},
		"slow, but one after the other":       {[]time.Duration{second, 2 * second, 3 * second, 4 * second}, 4, 4 * second},
		"none at all":                         {[]time.Duration{never, never, never}, 0, answerTimeout},
		"some, and then none":                 {[]time.Duration{second, never, never}, 1, second + answerTimeout},
		"the later ones, and the first never": {[]time.Duration{never, 0, second, never}, 2, answerTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var acks []jetstream.PubAckFuture
				for i, d := range c.answers {
					acks = append(acks, after(d, uint64(i+1)))
				}
				began, results := time.Now(), make([]result, len(acks))
				await(t.Context(), acks, results)
				if took := time.Since(began); took != c.took {
					t.Errorf("it took %s, want %s", took, c.took)
				}
				answered := 0
				for i, r := range results {
					switch {
					case r.err == nil && r.revision == uint64(i+1):
						answered++
					case !errors.Is(r.err, errSilent):
						t.Errorf("number %d: revision %d, %v", i+1, r.revision, r.err)
					}
				}
				if answered != c.answered {
					t.Errorf("%d were answered, want %d", answered, c.answered)
				}
			})
		})
	}
}
