package bus

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// The buckets. Each holds one value per key and no history.
const (
	// CatalogBucket holds what the swarm offers; only the listener writes it.
	CatalogBucket = "waggle_catalog"
	// SecretsBucket holds the texts of labels that only those may read who need
	// them, by service; only the listener writes it.
	SecretsBucket = "waggle_secrets"
	// LeaseBucket says which of several listeners writes.
	LeaseBucket = "waggle_lease"
	// AcceptedBucket holds the label set last accepted, by component and service.
	AcceptedBucket = "waggle_accepted"
	// StatusBucket holds what became of each service, by component and service,
	// and the state of each instance.
	StatusBucket = "waggle_status"
	// SignalsBucket holds what alerts ask for, by service and direction.
	SignalsBucket = "waggle_signals"
	// WakesBucket holds what proxies say of services that may sleep: for which a request waits,
	// and which are in use. It is not that of signals, whose room a proxy that has gone bad could
	// fill.
	WakesBucket = "waggle_wakes"
	// ManualBucket holds what did not come by labels, by component: services of the
	// older HTTP interfaces, certificates. Each component writes its own.
	ManualBucket = "waggle_manual"
	// NotifiedBucket holds what Docker Flow's receivers were told, by receiver, kind and name;
	// it is the listener's alone.
	NotifiedBucket = "waggle_notified"
)

// The streams, to tail.
const (
	// EventsStream takes one message for each thing that changed.
	EventsStream = "waggle_events"
	// DecisionsStream takes one message for each decision of the scaler.
	DecisionsStream = "waggle_decisions"
	// AuditStream takes one message for each thing that somebody did, see package audit.
	AuditStream = "waggle_audit"
)

// markerTTL is how long the mark of a deleted key stays. A reader that was away
// for longer learns of the deletion by its sweep.
const markerTTL = 24 * time.Hour

// ManualMarkerTTL is markerTTL for ManualBucket, whose content is only there and with whoever
// keeps a copy: who was away for less takes what is missing without a mark for lost, and
// brings it back.
const ManualMarkerTTL = 90 * 24 * time.Hour

// ManualRemembered is how old a copy of what ManualBucket holds may be that knows better than the
// bus: what is missing there without a mark of its removal was lost. It is shorter than marks
// live, since copies note the day alone, and clocks differ.
const ManualRemembered = ManualMarkerTTL - 48*time.Hour

func markerTTLOf(bucket string) time.Duration {
	if bucket == ManualBucket {
		return ManualMarkerTTL
	}
	return markerTTL
}

// Token makes any text fit to be one token of a key. Names and IDs of Swarm stay
// as they are; other texts are encoded, so that no two become equal.
func Token(text string) string {
	for _, r := range text {
		if !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_') {
			return "=" + base64.RawURLEncoding.EncodeToString([]byte(text))
		}
	}
	if text == "" {
		return "="
	}
	return text
}

// Bucket is one key-value bucket.
type Bucket struct {
	b    *Bus
	name string
}

// Bucket returns the bucket of that name, which need not exist yet.
func (b *Bus) Bucket(name string) *Bucket { return &Bucket{b: b, name: name} }

// PutOption is a condition or addition of a write.
type PutOption func(*nats.Msg, *[]jetstream.PublishOpt)

// WithTTL lets the value vanish after that time; at least one second.
func WithTTL(ttl time.Duration) PutOption {
	return func(_ *nats.Msg, opts *[]jetstream.PublishOpt) { *opts = append(*opts, jetstream.WithMsgTTL(ttl)) }
}

// IfRevision writes only if the key's last revision is this one; 0 means that
// the key was never written. Otherwise the error is ErrConflict.
func IfRevision(revision uint64) PutOption {
	return func(_ *nats.Msg, opts *[]jetstream.PublishOpt) {
		*opts = append(*opts, jetstream.WithExpectLastSequencePerSubject(revision))
	}
}

// WithID marks a message of a stream: of several with the same mark within two
// minutes, the stream keeps the first.
func WithID(id string) PutOption {
	return func(_ *nats.Msg, opts *[]jetstream.PublishOpt) { *opts = append(*opts, jetstream.WithMsgID(id)) }
}

// WithHeader adds a header, which readers of the value do not compare.
func WithHeader(name, value string) PutOption {
	return func(m *nats.Msg, _ *[]jetstream.PublishOpt) { m.Header.Set(name, value) }
}

// Put writes a value and returns its revision.
func (k *Bucket) Put(ctx context.Context, key string, value []byte, options ...PutOption) (uint64, error) {
	msg, opts := k.message(key, value, options)
	ack, err := k.b.js.PublishMsg(ctx, msg, opts...)
	if err != nil {
		return 0, wrap("put", k.name, key, err)
	}
	return ack.Sequence, nil
}

// Delete removes a key, which need not exist.
func (k *Bucket) Delete(ctx context.Context, key string, options ...PutOption) error {
	_, err := k.remove(ctx, key, options...)
	return err
}

// remove is Delete, and returns the revision of the deletion.
func (k *Bucket) remove(ctx context.Context, key string, options ...PutOption) (uint64, error) {
	return k.Put(ctx, key, nil, append(options, asDeletion(markerTTLOf(k.name)))...)
}

// asDeletion makes a write the mark of a deleted key.
func asDeletion(ttl time.Duration) PutOption {
	return func(m *nats.Msg, opts *[]jetstream.PublishOpt) {
		m.Header.Set("KV-Operation", "DEL")
		*opts = append(*opts, jetstream.WithMsgTTL(ttl))
	}
}

// Get reads a key and its revision; the error is ErrNotFound if it is not there.
func (k *Bucket) Get(ctx context.Context, key string) ([]byte, uint64, error) {
	stream, err := k.b.js.Stream(ctx, kvStream(k.name))
	if err != nil {
		return nil, 0, wrap("get", k.name, key, err)
	}
	msg, err := stream.GetLastMsgForSubject(ctx, k.subject(key))
	if err != nil {
		return nil, 0, wrap("get", k.name, key, err)
	}
	if gone(msg.Header) {
		return nil, msg.Sequence, fmt.Errorf("%s/%s: %w", k.name, key, ErrNotFound)
	}
	return msg.Data, msg.Sequence, nil
}

func (k *Bucket) subject(key string) string { return kvSubject(k.name, key) }

func (k *Bucket) message(key string, value []byte, options []PutOption) (*nats.Msg, []jetstream.PublishOpt) {
	msg := &nats.Msg{Subject: k.subject(key), Data: value, Header: nats.Header{}}
	var opts []jetstream.PublishOpt
	for _, o := range options {
		o(msg, &opts)
	}
	return msg, opts
}

// gone reports whether a message marks a key as deleted, purged or expired.
func gone(h nats.Header) bool {
	return h.Get("KV-Operation") != "" || h.Get(jetstream.MarkerReasonHeader) != ""
}

func wrap(verb, bucket, key string, err error) error {
	var api *jetstream.APIError
	switch {
	case errors.As(err, &api) && (api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence || api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequenceConstant):
		err = errors.Join(ErrConflict, err)
	case errors.Is(err, jetstream.ErrMsgNotFound), errors.Is(err, jetstream.ErrStreamNotFound), errors.Is(err, jetstream.ErrNoStreamResponse):
		err = errors.Join(ErrNotFound, err)
	}
	return fmt.Errorf("bus: %s %s/%s: %w", verb, bucket, key, err)
}
