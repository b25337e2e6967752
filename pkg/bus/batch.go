package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// batchBytes is how much of a stream one answer may bring at once.
const batchBytes = 4 << 20

// errCut says that a server ended in the middle of an answer.
var errCut = errors.New("the answer was cut short")

// read tells the messages of a stream from one number on, those of one subject alone if it is not
// empty, until it is told that it is enough. It asks for many at once, and without a reader: whoever
// may only read a stream may not end a reader of it, and a server admits a limited number.
func (b *Bus) read(ctx context.Context, stream, subject string, from uint64, tell func(Message, uint64) (more bool)) error {
	for {
		next, more, err := b.batch(ctx, stream, subject, from, tell)
		if err != nil {
			return wrap("read", stream, "", err)
		}
		if !more {
			return nil
		}
		from = next
	}
}

// batch is one question of read, and returns where the next one begins.
func (b *Bus) batch(ctx context.Context, stream, subject string, from uint64, tell func(Message, uint64) bool) (next uint64, more bool, err error) {
	question, err := json.Marshal(map[string]any{"seq": from, "batch": 1000, "max_bytes": batchBytes, "next_by_subj": subject})
	if err != nil {
		return 0, false, err
	}
	inbox := b.nc.NewInbox()
	answers, err := b.nc.SubscribeSync(inbox)
	if err != nil {
		return 0, false, err
	}
	defer func() { _ = answers.Unsubscribe() }() // the connection is gone, and it with it
	if err := b.nc.PublishRequest(b.api+"DIRECT.GET."+stream, inbox, question); err != nil {
		return 0, false, err
	}
	isWanted, unreadable := true, false
	for {
		m, err := b.answer(ctx, answers)
		if err != nil {
			return 0, false, err
		}
		if len(m.Header) == 0 {
			// Of headers that its writer has made unreadable the client gives none at all.
			unreadable = true
			continue
		}
		sequence, isMessage := said(m, jetstream.SequenceHeader)
		if !isMessage {
			return ended(m, next, isWanted, unreadable)
		}
		read, number, err := readBatched(m, sequence)
		if err != nil || number < max(from, next) {
			return 0, false, errCut
		}
		next = number + 1
		isWanted = isWanted && tell(read, number)
	}
}

// said returns what the server says in a header of a message. The writer's own headers come first,
// and may have the same names.
func said(m *nats.Msg, name string) (text string, ok bool) {
	all := m.Header[name]
	if len(all) == 0 {
		return "", false
	}
	return all[len(all)-1], true
}

// readBatched reads one message of an answer.
func readBatched(m *nats.Msg, sequence string) (Message, uint64, error) {
	number, err := strconv.ParseUint(sequence, 10, 64)
	if err != nil {
		return Message{}, 0, err
	}
	stamp, _ := said(m, jetstream.TimeStampHeaer)
	at, err := time.Parse(time.RFC3339Nano, stamp)
	if err != nil {
		return Message{}, 0, err
	}
	subject, _ := said(m, jetstream.SubjectHeader)
	return Message{Subject: subject, Value: m.Data, Time: at}, number, nil
}

// ended reads the end of an answer whose messages ended before next, and returns what batch returns.
func ended(m *nats.Msg, next uint64, isWanted, unreadable bool) (uint64, bool, error) {
	switch status := m.Header.Get("Status"); status {
	case "404":
		return 0, false, nil
	case "204":
	default:
		return 0, false, fmt.Errorf("%s %s", status, m.Header.Get("Description"))
	}
	last, err := strconv.ParseUint(m.Header.Get("Nats-Last-Sequence"), 10, 64)
	if err != nil || last+1 < next || last+1 > next && !unreadable {
		return 0, false, errCut
	}
	left, err := strconv.ParseUint(m.Header.Get("Nats-Num-Pending"), 10, 64)
	return last + 1, isWanted && err == nil && left > 0, nil //nolint:nilerr // Of one that does not say so there is nothing left.
}

// answer waits for the next part of an answer.
func (b *Bus) answer(ctx context.Context, answers *nats.Subscription) (*nats.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	return answers.NextMsgWithContext(ctx)
}
