// Package audit notes who changed what, where no component can take it back: in the stream
// bus.AuditStream, to which each may add and of which none may take anything, and in the log.
package audit

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/wagglehq/waggle/pkg/app"
	"github.com/wagglehq/waggle/pkg/bus"
)

// Action is what was done.
type Action string

// The actions.
const (
	CertificatePut     Action = "certificate put"
	CertificateDeleted Action = "certificate deleted"
	ServiceAskedFor    Action = "service asked for"
	ServiceRemoved     Action = "service removed"
	Reloaded           Action = "reload"
	ScaledByHand       Action = "scaled by hand"
	Rescheduled        Action = "rescheduled by hand"
	ScalingStopped     Action = "scaling stopped"
	ScalingResumed     Action = "scaling resumed"
	HostGained         Action = "host gained"
	HostRefused        Action = "host refused"
	AddressRefused     Action = "address refused"
)

// Entry is one thing that was done. It holds no secret.
type Entry struct {
	Time      time.Time `json:"time"`
	Component string    `json:"component"`
	Instance  string    `json:"instance"`
	Action    Action    `json:"action"`
	// Object is what it was done to: the name of a certificate or a service, or a host.
	Object string `json:"object,omitempty"`
	// By is who asked for it: "token " and eight digits of the hash of the token, "no token"
	// from networks that need none, or empty where labels or the swarm did.
	By string `json:"by,omitempty"`
	// Remote is the address and port from which it was asked for.
	Remote string `json:"remote,omitempty"`
	// Fingerprint is that of a certificate.
	Fingerprint string `json:"fingerprint,omitempty"`
	// From and To are numbers of replicas.
	From *uint64 `json:"from,omitempty"`
	To   *uint64 `json:"to,omitempty"`
	// Detail says more in words.
	Detail string `json:"detail,omitempty"`
	// Previous is the SHA-256, in hexadecimal digits, of the entry as JSON that this instance
	// wrote before; empty for the first one since it started.
	Previous string `json:"previous,omitempty"`
}

// Asked is an entry about a request, which app.RequireToken has let through.
func Asked(r *http.Request, action Action, object string) Entry {
	return Entry{Action: action, Object: object, By: app.CallerOf(r), Remote: r.RemoteAddr}
}

const (
	// longest is how many bytes of a text an entry has.
	longest = 1000
	// waiting bounds the entries that wait for the bus.
	waiting = 1000
	// patience bounds one attempt to write, and the last one when the process ends; again is
	// the pause between two.
	patience, again = 2 * time.Second, time.Second
)

// Publisher is the bus.
type Publisher interface {
	Publish(ctx context.Context, stream, tokens string, value []byte, options ...bus.PutOption) error
}

// Options are what a Journal works with. All are needed.
type Options struct {
	Bus                 Publisher
	Component, Instance string
	Log                 *slog.Logger
	Now                 func() time.Time
}

// Journal writes the entries of one instance, in their order.
type Journal struct {
	o        Options
	queue    chan Entry
	previous string
}

// New returns a Journal, which writes while it runs.
func New(o Options) *Journal { return &Journal{o: o, queue: make(chan Entry, waiting)} }

// Note logs an entry and has it written as soon as the bus is there. It never blocks, and may
// be called from any goroutine.
func (j *Journal) Note(e Entry) {
	e.Time, e.Component, e.Instance = j.o.Now().UTC(), j.o.Component, j.o.Instance
	e.Object, e.Detail = cut(e.Object), cut(e.Detail)
	words := []any{"action", e.Action, "object", e.Object}
	for _, word := range []struct{ name, text string }{{"by", e.By}, {"remote", e.Remote}, {"fingerprint", e.Fingerprint}, {"detail", e.Detail}} {
		if word.text != "" {
			words = append(words, word.name, word.text)
		}
	}
	if e.From != nil && e.To != nil {
		words = append(words, "from", *e.From, "to", *e.To)
	}
	j.o.Log.Info("audit", words...)
	select {
	case j.queue <- e:
	default:
		j.o.Log.Warn("an entry of the audit is in the log alone, because too many wait for the bus", "action", e.Action, "object", e.Object)
	}
}

// cut bounds a text, which may be that of a label: the stream takes no message above 16 kB.
func cut(text string) string {
	if len(text) <= longest {
		return text
	}
	return strings.ToValidUTF8(text[:longest], "") + "…"
}

// Run writes until the context ends, and what is left then for as long as one attempt takes.
func (j *Journal) Run(ctx context.Context) error {
	for {
		select {
		case e := <-j.queue:
			for j.write(ctx, e) != nil {
				select {
				case <-ctx.Done():
					return j.rest(ctx, e)
				case <-time.After(again):
				}
			}
		case <-ctx.Done():
			return j.rest(ctx)
		}
	}
}

// rest writes what is left.
func (j *Journal) rest(ctx context.Context, first ...Entry) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	for _, e := range first {
		if err := j.write(ctx, e); err != nil {
			return nil //nolint:nilerr // It is in the log, and the process ends.
		}
	}
	for {
		select {
		case e := <-j.queue:
			if err := j.write(ctx, e); err != nil {
				return nil //nolint:nilerr // It is in the log, and the process ends.
			}
		default:
			return nil
		}
	}
}

// write adds one entry to the stream. A second attempt at one that has landed adds nothing.
func (j *Journal) write(ctx context.Context, e Entry) error {
	e.Previous = j.previous
	value, err := json.Marshal(e)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(value)
	hash := hex.EncodeToString(sum[:])
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := j.o.Bus.Publish(limited, bus.AuditStream, bus.Token(j.o.Component), value, bus.WithID(hash)); err != nil {
		if !errors.Is(err, context.Canceled) {
			j.o.Log.Debug("an entry of the audit waits for the bus", "error", err)
		}
		return err
	}
	j.previous = hash
	return nil
}
