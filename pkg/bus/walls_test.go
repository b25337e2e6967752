package bus_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/wagglehq/waggle/pkg/bus"
	"github.com/wagglehq/waggle/pkg/bustest"
	"github.com/wagglehq/waggle/pkg/scaling"
	"github.com/wagglehq/waggle/pkg/tooltest"
)

var allKeys = map[string]string{
	"listener": "0123456789abcdef-l", "proxy": "0123456789abcdef-p", "monitor": "0123456789abcdef-m", "scaler": "0123456789abcdef-s",
	"reader": "0123456789abcdef-r",
}

// components are those that have gone bad, one after the other.
var components = []string{"proxy", "monitor", "scaler", "reader"}

var everyStream = []string{
	"KV_" + bus.CatalogBucket, "KV_" + bus.SecretsBucket, "KV_" + bus.LeaseBucket, "KV_" + bus.AcceptedBucket, "KV_" + bus.StatusBucket,
	"KV_" + bus.SignalsBucket, "KV_" + bus.WakesBucket, "KV_" + bus.ManualBucket, "KV_" + bus.NotifiedBucket, bus.EventsStream, bus.DecisionsStream, bus.AuditStream,
}

// goods are subjects of every bucket and stream, and to whom besides the listener
// each belongs and who may read it.
type good struct {
	stream, subject string
	writer          string
	readers         []string
}

func goods() []good {
	kv := func(bucket, key, writer string, readers ...string) good {
		return good{"KV_" + bucket, "$KV." + bucket + "." + key, writer, readers}
	}
	out := []good{
		kv(bus.CatalogBucket, "service.victim", "", components...),
		kv(bus.CatalogBucket, "_list", "", components...),
		kv(bus.SecretsBucket, "victim", "", "proxy"),
		kv(bus.LeaseBucket, "listener", ""),
		kv(bus.NotifiedBucket, "receiver.service.victim", ""),
		kv(bus.SignalsBucket, "victim.up", "scaler", "scaler"), kv(bus.WakesBucket, scaling.WakePrefix+"victim", "proxy", "scaler"),
		{bus.DecisionsStream, "waggle.decisions.victim", "scaler", []string{"scaler"}},
		{bus.EventsStream, "waggle.events.listener.service.victim", "", nil},
	}
	for _, c := range []string{"listener", "proxy", "monitor", "scaler"} {
		out = append(out,
			kv(bus.AcceptedBucket, c+".victim", c, c), kv(bus.ManualBucket, c+".victim", c, c),
			kv(bus.StatusBucket, c+".victim", c, c, "reader"), kv(bus.StatusBucket, bus.InstanceKey(c, "victim"), c, c, "reader"),
			good{bus.EventsStream, "waggle.events." + c + ".victim", c, nil}, good{bus.AuditStream, "waggle.audit." + c, c, nil},
		)
	}
	return out
}

// kept is a reader that the listener has of each stream. Nobody is told its name, which is
// as good as those of all readers.
var kept = rand.Text()

// secretOf is what lies under a subject, and must be seen by its readers alone.
func secretOf(g good) string { return "the secret of " + g.subject + "." }

// dump is everything that the listener's account holds: messages byte by byte,
// settings, and the reader that the listener keeps.
func dump(t *testing.T, b *bus.Bus) map[string]string {
	t.Helper()
	js, err := jetstream.New(b.Raw())
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, name := range everyStream {
		s, err := js.Stream(t.Context(), name)
		if err != nil {
			out[name] = err.Error()
			continue
		}
		info := s.CachedInfo()
		settings, err := json.Marshal(info.Config)
		if err != nil {
			t.Fatal(err)
		}
		out[name] = string(settings)
		for seq := info.State.FirstSeq; seq <= info.State.LastSeq && info.State.Msgs > 0; seq++ {
			m, err := s.GetMsg(t.Context(), seq)
			if err != nil {
				continue
			}
			var headers strings.Builder
			for _, k := range slices.Sorted(maps.Keys(m.Header)) {
				fmt.Fprint(&headers, k, m.Header[k])
			}
			out[fmt.Sprintf("%s %d", name, seq)] = fmt.Sprint(m.Subject, " ", headers.String(), " ", string(m.Data))
		}
		reader, err := s.Consumer(t.Context(), kept)
		if err != nil {
			out[name+" kept"] = err.Error()
			continue
		}
		out[name+" kept"] = fmt.Sprint(reader.CachedInfo().Delivered.Consumer, reader.CachedInfo().Paused)
	}
	return out
}

// fill puts something under every subject, and keeps a reader of each stream.
func fill(t *testing.T, b *bus.Bus) {
	t.Helper()
	js, err := jetstream.New(b.Raw())
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range goods() {
		if _, err := js.Publish(t.Context(), g.subject, []byte(secretOf(g))); err != nil {
			t.Fatal(g.subject, err)
		}
	}
	for _, name := range everyStream {
		if _, err := js.CreateConsumer(t.Context(), name, jetstream.ConsumerConfig{Durable: kept}); err != nil {
			t.Fatal(err)
		}
	}
}

// attacker is one component that has gone bad, with its key and a raw connection.
type attacker struct {
	t    *testing.T
	name string
	nc   *nats.Conn
	own  string // a subject that it may read, with a payload that would do harm elsewhere
	got  *nats.Subscription
	n    int
}

func (a *attacker) publish(m *nats.Msg) {
	a.t.Helper()
	if err := a.nc.PublishMsg(m); err != nil {
		a.t.Fatal(err)
	}
}

// ask sends a request of JetStream's, by each name that it might have.
func (a *attacker) ask(subject, reply string, body any) {
	a.t.Helper()
	data, ok := body.([]byte)
	if !ok && body != nil {
		var err error
		if data, err = json.Marshal(body); err != nil {
			a.t.Fatal(err)
		}
	}
	if reply == "" {
		a.n++
		reply = fmt.Sprintf("_INBOX_%s.evil.%d", a.name, a.n)
	}
	for _, prefix := range []string{"$JS.API.", "WAGGLE.API."} {
		a.publish(&nats.Msg{Subject: prefix + subject, Reply: reply, Data: data})
	}
}

// settled waits until the server has done all that was asked: it does one thing
// after the other, and this comes last.
func (a *attacker) settled() {
	a.t.Helper()
	allowed := "waggle.events." + a.name + ".settled"
	if a.name == "reader" {
		allowed = "WAGGLE.API.STREAM.INFO.KV_" + bus.StatusBucket
	}
	for range 20 {
		if m, err := a.nc.Request(allowed, nil, 5*time.Second); err != nil || bytes.Contains(m.Data, []byte(`"error"`)) {
			a.t.Fatalf("%s may ask for %s: %v", a.name, allowed, err)
		}
	}
}

// bait puts something of the attacker's own where it may read it, to be sent elsewhere. A
// reader has nothing of its own, and takes what the proxy said.
func (a *attacker) bait() {
	a.t.Helper()
	a.own = "$KV." + bus.StatusBucket + "." + a.name + ".own"
	if a.name == "reader" {
		a.own = "$KV." + bus.StatusBucket + ".proxy.victim"
		return
	}
	if _, err := a.nc.Request(a.own, []byte("forged"), 5*time.Second); err != nil {
		a.t.Fatalf("%s may write a status of its own: %v", a.name, err)
	}
}

// judge looks through all that was answered. Whether reading is shown to fail depends on
// answers that were heard, so something that it may read must be among them.
func (a *attacker) judge(all []good) {
	a.t.Helper()
	control := "control"
	a.ask("DIRECT.GET.KV_"+bus.StatusBucket+"."+a.own, fmt.Sprintf("_INBOX_%s.evil.%s", a.name, control), nil)
	heard := false
	for !heard {
		m, err := a.got.NextMsg(5 * time.Second)
		if errors.Is(err, nats.ErrNoResponders) {
			continue // the answer to one request of many
		}
		if err != nil {
			a.t.Fatalf("what %s may read has not come: %v", a.name, err)
		}
		heard = strings.HasSuffix(m.Subject, control) && len(m.Data) > 0
		if bytes.Contains(m.Data, []byte(kept)) {
			a.t.Errorf("%s was told the name of another's reader: %s", a.name, m.Data)
		}
		for _, g := range all {
			if !slices.Contains(g.readers, a.name) && bytes.Contains(m.Data, []byte(secretOf(g))) {
				a.t.Errorf("%s has read %s by a message of %s", a.name, g.subject, m.Subject)
			}
		}
	}
}

type consumerRequest struct {
	Stream string         `json:"stream_name"`
	Config map[string]any `json:"config"`
	Action string         `json:"action,omitempty"`
}

func consumer(stream, name string, settings map[string]any) consumerRequest {
	config := map[string]any{"name": name, "deliver_policy": "all", "ack_policy": "none", "mem_storage": true, "inactive_threshold": int64(time.Minute)}
	maps.Copy(config, settings)
	return consumerRequest{Stream: stream, Config: config}
}

// read tries every way to read a subject.
func (a *attacker) read(g good) {
	name := fmt.Sprintf("evil%d", a.n)
	filter := map[string]any{"filter_subject": g.subject}
	a.ask("DIRECT.GET."+g.stream+"."+g.subject, "", nil)
	a.ask("DIRECT.GET."+g.stream, "", map[string]any{"last_by_subj": g.subject})
	a.ask("DIRECT.GET."+g.stream, "", map[string]any{"multi_last": []string{g.subject}, "batch": 10})
	a.ask("STREAM.MSG.GET."+g.stream, "", map[string]any{"last_by_subj": g.subject})
	inbox := fmt.Sprintf("_INBOX_%s.evil.pushed", a.name)
	own := "$KV." + bus.StatusBucket + "." + a.name + ".>"
	pull := func(name string) {
		a.ask("CONSUMER.MSG.NEXT."+g.stream+"."+name, "", map[string]any{"batch": 10, "no_wait": true})
	}
	a.ask("CONSUMER.CREATE."+g.stream+"."+name+"a."+g.subject, "", consumer(g.stream, name+"a", filter))
	a.ask("CONSUMER.CREATE."+g.stream+"."+name+"b", "", consumer(g.stream, name+"b", filter))
	a.ask("CONSUMER.CREATE."+g.stream+"."+name+"c."+own, "", consumer(g.stream, name+"c", filter))
	a.ask("CONSUMER.CREATE."+g.stream+"."+name+"d."+own, "", consumer(g.stream, name+"d", map[string]any{"filter_subjects": []string{g.subject}}))
	a.ask("CONSUMER.CREATE."+g.stream+"."+name+"e."+own, "", consumer(g.stream, name+"e", nil))
	a.ask("CONSUMER.CREATE."+g.stream+"."+name+"f.>", "", consumer(g.stream, name+"f", map[string]any{"filter_subject": ">"}))
	a.ask("CONSUMER.CREATE."+g.stream, "", consumer(g.stream, "", filter))
	a.ask("CONSUMER.DURABLE.CREATE."+g.stream+"."+name+"g", "", consumer(g.stream, name+"g", map[string]any{"durable_name": name + "g", "filter_subject": g.subject}))
	a.ask("CONSUMER.CREATE."+g.stream+"."+name+"h."+own, "", consumer(g.stream, name+"h", map[string]any{"filter_subject": g.subject, "deliver_subject": inbox}))
	for _, letter := range "abcdefg" {
		pull(name + string(letter))
	}
	// By its name, if anybody told it, the readers of those streams of which nothing is to be read.
	if !slices.ContainsFunc(goods(), func(o good) bool { return o.stream == g.stream && slices.Contains(o.readers, a.name) }) {
		pull(kept)
	}
}

// write tries every way to write a subject.
func (a *attacker) write(subject string) {
	bucket := "KV_" + bus.StatusBucket
	for _, header := range []nats.Header{nil, {"Nats-Rollup": {"all"}}, {"Nats-Rollup": {"sub"}}, {"KV-Operation": {"DEL"}}, {"KV-Operation": {"PURGE"}, "Nats-Rollup": {"sub"}}} {
		a.publish(&nats.Msg{Subject: subject, Header: header, Data: []byte("forged")})
	}
	a.ask("DIRECT.GET."+bucket+"."+a.own, subject, nil)
	a.ask("DIRECT.GET."+bucket, subject, map[string]any{"last_by_subj": a.own})
	a.ask("STREAM.MSG.GET."+bucket, subject, map[string]any{"last_by_subj": a.own})
	a.ask("STREAM.INFO."+bucket, subject, nil)
	a.n++
	name := fmt.Sprintf("forger%d", a.n)
	a.ask("CONSUMER.CREATE."+bucket+"."+name+"."+a.own, subject, consumer(bucket, name, map[string]any{"filter_subject": a.own}))
	a.ask("CONSUMER.MSG.NEXT."+bucket+"."+name, subject, map[string]any{"batch": 10, "no_wait": true})
	a.ask("CONSUMER.CREATE."+bucket+"."+name+"p."+a.own, "", consumer(bucket, name+"p", map[string]any{"filter_subject": a.own, "deliver_subject": subject}))
}

// destroy tries to change, empty or remove a stream and to end its readers.
func (a *attacker) destroy(stream string) {
	for _, request := range []string{"STREAM.PURGE.", "STREAM.DELETE.", "STREAM.UPDATE.", "STREAM.CREATE.", "STREAM.MSG.DELETE.", "CONSUMER.LEADER.STEPDOWN.", "STREAM.SNAPSHOT."} {
		for _, body := range []any{nil, map[string]any{"seq": 1}, map[string]any{"name": stream, "subjects": []string{"elsewhere"}, "deliver_subject": "x"}} {
			a.ask(request+stream, "", body)
		}
		// By the reply to something that is allowed.
		a.ask("DIRECT.GET.KV_"+bus.StatusBucket+"."+a.own, "$JS.API."+request+stream, nil)
		name := fmt.Sprintf("breaker%d", a.n)
		a.ask("CONSUMER.CREATE.KV_"+bus.StatusBucket+"."+name+"."+a.own, "", consumer("KV_"+bus.StatusBucket, name, map[string]any{"filter_subject": a.own, "deliver_subject": "$JS.API." + request + stream}))
	}
	a.ask("CONSUMER.DELETE."+stream+"."+kept, "", nil)
	a.ask("CONSUMER.PAUSE."+stream+"."+kept, "", map[string]any{"pause_until": "2100-01-01T00:00:00Z"})
	a.ask("CONSUMER.NAMES."+stream, "", nil)
	a.ask("CONSUMER.LIST."+stream, "", nil)
}

// ownSubjects are some that a component may write, one of each kind.
func ownSubjects(component string) []string {
	out := []string{"waggle.events." + component + ".own"}
	for _, bucket := range []string{bus.AcceptedBucket, bus.ManualBucket, bus.StatusBucket} {
		out = append(out, "$KV."+bucket+"."+component+".own")
	}
	switch component {
	case "proxy":
		wakes := "$KV." + bus.WakesBucket + "."
		out = append(out, wakes+scaling.WakePrefix+"own", wakes+scaling.OpenPrefix+"own")
	case "scaler":
		out = append(out, "$KV."+bus.SignalsBucket+".own.up", "waggle.decisions.own")
	}
	return out
}

// holds lets each component try to reach what is not its own.
func holds(t *testing.T, listener *bus.Bus, connect func(component string) *bus.Bus) {
	fill(t, listener)
	for _, name := range components {
		t.Run(name, func(t *testing.T) {
			b := connect(name)
			tooltest.Eventually(t, "the connection stands", func() error { return b.Raw().FlushTimeout(time.Second) })
			a := &attacker{t: t, name: name, nc: b.Raw()}
			a.nc.SetErrorHandler(func(*nats.Conn, *nats.Subscription, error) {})
			var err error
			if a.got, err = a.nc.SubscribeSync("_INBOX_" + name + ".evil.>"); err != nil {
				t.Fatal(err)
			}
			if err := a.got.SetPendingLimits(-1, -1); err != nil {
				t.Fatal(err)
			}
			a.bait()
			before := dump(t, listener)
			for _, g := range goods() {
				if !slices.Contains(g.readers, name) {
					a.read(g)
				}
				if g.writer != name {
					a.write(g.subject)
				}
			}
			for _, subject := range ownSubjects(name) {
				for _, scope := range []string{"all", "sub"} {
					a.publish(&nats.Msg{Subject: subject, Header: nats.Header{"Nats-Rollup": {scope}}, Data: []byte("forged")})
				}
			}
			// Nor does it take back what it has said itself.
			for _, header := range []nats.Header{{"Nats-Rollup": {"all"}}, {"Nats-Rollup": {"sub"}}, {"Nats-TTL": {"1s"}}, {"Nats-Expected-Last-Sequence": {"0"}}} {
				a.publish(&nats.Msg{Subject: "waggle.audit." + name, Header: header, Data: []byte("forged")})
			}
			for _, stream := range everyStream {
				a.destroy(stream)
			}
			a.settled()
			after := dump(t, listener)
			ownEvents := func(key, value string) bool {
				return strings.HasPrefix(key, bus.EventsStream+" ") && strings.HasPrefix(value, "waggle.events."+name+".settled")
			}
			maps.DeleteFunc(after, ownEvents)
			for _, key := range slices.Sorted(maps.Keys(before)) {
				if after[key] != before[key] {
					t.Errorf("%s: it was\n%.300s\nand is\n%.300s", key, before[key], after[key])
				}
			}
			for _, key := range slices.Sorted(maps.Keys(after)) {
				if _, ok := before[key]; !ok {
					t.Errorf("%s is new: %.300s", key, after[key])
				}
			}
			a.judge(goods())
		})
	}
}

func TestNobodyGuessesTheNameOfAReader(t *testing.T) {
	s := bustest.StartWithKeys(t, allKeys)
	listener, proxy := s.Prepared(), s.Connect("proxy")
	for range 2 {
		bustest.Run(t, proxy.Bucket(bus.StatusBucket).Mirror("proxy.>", func() {}).Run)
	}
	bustest.Run(t, func(ctx context.Context) error {
		return listener.Tail(ctx, bus.StatusBucket, func(bus.TailMessage) {})
	})
	js, err := jetstream.New(listener.Raw())
	if err != nil {
		t.Fatal(err)
	}
	tooltest.Eventually(t, "three readers have names of 26 letters, none alike", func() error {
		stream, err := js.Stream(t.Context(), "KV_"+bus.StatusBucket)
		if err != nil {
			return err
		}
		var names []string
		for name := range stream.ConsumerNames(t.Context()).Name() {
			names = append(names, name)
		}
		slices.Sort(names)
		if len(slices.Compact(names)) != 3 || slices.ContainsFunc(names, func(name string) bool { return len(name) < 26 }) {
			return fmt.Errorf("they are %v", names)
		}
		return nil
	})
}

func TestNoComponentReachesWhatIsNotItsOwn(t *testing.T) {
	s := bustest.StartWithKeys(t, allKeys)
	holds(t, s.Prepared(), s.Connect)
}

// TestNobodyTakesTheRoomOfOthers: a component that has gone bad fills all that it may write. What others
// write in the same place still gets in, and none of what they wrote goes.
func TestNobodyTakesTheRoomOfOthers(t *testing.T) {
	s := bustest.StartWithKeys(t, allKeys)
	listener := s.Prepared()
	audit := func(component string, n int) {
		t.Helper()
		nc := s.Connect(component).Raw()
		tooltest.Eventually(t, "the connection stands", func() error { return nc.FlushTimeout(time.Second) })
		for range n {
			tooltest.Must(t, nc.Publish("waggle.audit."+component, []byte("an entry")))
		}
		// The server takes one after the other, and this comes last.
		_, err := nc.Request("waggle.audit."+component, []byte("the last"), time.Minute)
		tooltest.Must(t, err)
	}
	audit("scaler", 5)
	audit("proxy", 5000)
	if all, err := listener.LastOf(t.Context(), bus.AuditStream, "proxy", 10_000); err != nil || len(all) != 4000 {
		t.Errorf("%d entries of the proxy are left, %v", len(all), err)
	}
	if all, err := listener.LastOf(t.Context(), bus.AuditStream, "scaler", 100); err != nil || len(all) != 6 {
		t.Errorf("%d entries of the scaler are left, %v", len(all), err)
	}

	proxy := s.Connect("proxy")
	tooltest.Eventually(t, "the room of the proxies is full", func() error {
		// To the last byte, since what others write may be short.
		for _, size := range []int{500_000, 5_000, 50, 0} {
			for {
				key := fmt.Sprint(scaling.WakePrefix, rand.Text())
				_, err := proxy.Bucket(bus.WakesBucket).Put(t.Context(), key, make([]byte, size))
				if err != nil && !strings.Contains(err.Error(), "maximum bytes") {
					return err
				}
				if err != nil {
					break
				}
			}
		}
		return nil
	})
	if _, err := s.Connect("scaler").Bucket(bus.SignalsBucket).Put(t.Context(), "web.up", []byte("{}")); err != nil {
		t.Errorf("the scaler's signal: %v", err)
	}
}
