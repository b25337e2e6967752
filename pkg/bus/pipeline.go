package bus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// operation is one write by compare and set.
type operation struct {
	// key is what the caller calls it, place where it lies in the bucket.
	key, place string
	value      []byte
	index      uint64
	// revision is the one that is expected.
	revision uint64
	isDelete bool
	to       *Mirror
}

// note takes an operation that landed into the copy of its bucket.
func (o operation) note(revision uint64) {
	if o.isDelete {
		o.to.noteGone(o.place, revision)
	} else {
		o.to.note(o.place, Value{Data: o.value, Revision: revision, Index: o.index})
	}
}

// result is what became of an operation.
type result struct {
	revision uint64
	err      error
}

// atOnce is how many writes are under way at once. The client admits 4,000, and lets
// nobody wait for long who wants more.
const atOnce = 1000

// errSilent says that no answer came for so long that none is expected any more.
var errSilent = fmt.Errorf("no answer for %s", answerTimeout)

// pipeline does all operations, many at once, and waits for every answer, or until none
// has come for a while: what was sent to a server that then failed is never answered.
func (b *Bus) pipeline(ctx context.Context, all []operation) []result {
	results := make([]result, len(all))
	for start := 0; start < len(all); start += atOnce {
		part := all[start:min(start+atOnce, len(all))]
		acks := make([]jetstream.PubAckFuture, len(part))
		for i, o := range part {
			acks[i], results[start+i].err = b.send(o)
		}
		await(ctx, acks, results[start:])
		for i := range part {
			if err := results[start+i].err; err != nil {
				verb := "put"
				if part[i].isDelete {
					verb = "delete"
				}
				results[start+i].err = wrap(verb, part[i].to.bucket.name, part[i].place, err)
			}
		}
	}
	return results
}

func (b *Bus) send(o operation) (jetstream.PubAckFuture, error) {
	options := []PutOption{IfRevision(o.revision), WithIndex(o.index)}
	if o.isDelete {
		options = append(options, asDeletion(markerTTLOf(o.to.bucket.name)))
	}
	msg, opts := o.to.bucket.message(o.place, o.value, options)
	return b.js.PublishMsgAsync(msg, opts...)
}

// await writes what the answers say to the results that belong to them. There is no ack
// for what could not be sent.
func await(ctx context.Context, acks []jetstream.PubAckFuture, results []result) {
	silence := time.NewTimer(answerTimeout)
	defer silence.Stop()
	isSilent := false
	for i, ack := range acks {
		switch {
		case ack == nil:
		case isSilent:
			results[i] = at(ack)
		default:
			select {
			case a := <-ack.Ok():
				results[i] = result{revision: a.Sequence}
			case err := <-ack.Err():
				results[i] = result{err: err}
			case <-ctx.Done():
				results[i] = result{err: ctx.Err()}
			case <-silence.C:
				isSilent, results[i] = true, at(ack)
			}
			silence.Reset(answerTimeout)
		}
	}
}

// at is the answer that is there at this moment.
func at(ack jetstream.PubAckFuture) result {
	select {
	case a := <-ack.Ok():
		return result{revision: a.Sequence}
	case err := <-ack.Err():
		return result{err: err}
	default:
		return result{err: errSilent}
	}
}

// Codes of the server for a value that it does not take; the client has no names for them.
const (
	codeStoreFailed     jetstream.ErrorCode = 10077 // the bucket is full, or the disk
	codeNoStorage       jetstream.ErrorCode = 10047
	codeNoResources     jetstream.ErrorCode = 10023
	codeHeadersTooLarge jetstream.ErrorCode = 10097
)

// isRefusal reports whether the bus does not take this value, and may take others.
func isRefusal(err error) bool {
	if errors.Is(err, nats.ErrMaxPayload) {
		return true
	}
	var api *jetstream.APIError
	if !errors.As(err, &api) {
		return false
	}
	switch api.ErrorCode {
	case codeStoreFailed, codeNoStorage, codeNoResources, codeHeadersTooLarge, jetstream.JSErrCodeStreamMessageExceedsMaximum:
		return true
	}
	return false
}
