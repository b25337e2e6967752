package bus

import (
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// model is the store as it ought to be: what the server holds.
type model struct {
	store
	keys map[string]message
}

// message is what a session tells of one key.
type message struct {
	key      string
	data     string
	revision uint64
	isGone   bool
}

func (m *model) write(key, data string, isGone bool) message {
	m.last++
	msg := message{key, data, m.last, isGone}
	m.keys[key] = msg
	return msg
}

// replay is the last message of every key, oldest first.
func (m *model) replay() []message {
	return slices.SortedFunc(maps.Values(m.keys), func(a, b message) int { return int(a.revision) - int(b.revision) })
}

func (m *model) copy() model { return model{m.store, maps.Clone(m.keys)} }

// follower is a hook that keeps what it is told.
type follower map[string]string

func (f follower) put(key string, v Value) { f[key] = string(v.Data) }
func (f follower) touch(string, Value)     {}
func (f follower) remove(key string)       { delete(f, key) }
func (f follower) clear()                  { clear(f) }

func tell(to sink, m message) {
	if m.isGone {
		to.remove(m.key, m.revision, time.Unix(1, 0))
	} else {
		to.put(m.key, Value{Data: []byte(m.data), Revision: m.revision})
	}
}

// TestAWholeSessionHealsWhatBrokenOnesDid: the messages of broken sessions are dropped,
// doubled, reordered or cut off, the store changes, is lost or goes back in time; after
// the next whole session the mirror holds what the store holds.
func TestAWholeSessionHealsWhatBrokenOnesDid(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var mirror *Mirror
		poked := map[string]string{}
		look := func() {
			values, _ := mirror.Values()
			clear(poked)
			for key, v := range values {
				poked[key] = string(v.Data)
			}
		}
		mirror = (&Bucket{}).Mirror(">", look)
		hooked := follower{}
		mirror.hook = hooked
		stock := model{store: store{created: time.Unix(0, 1)}, keys: map[string]message{}}
		backup := stock.copy()
		key := rapid.SampledFrom([]string{"a", "b", "c", "d"})
		change := func() message {
			isGone := rapid.IntRange(0, 4).Draw(t, "deleted") == 0
			return stock.write(key.Draw(t, "key"), rapid.SampledFrom([]string{"x", "y"}).Draw(t, "data"), isGone)
		}
		own := func() {
			if msg := change(); msg.isGone {
				mirror.noteGone(msg.key, msg.revision)
			} else {
				mirror.note(msg.key, Value{Data: []byte(msg.data), Revision: msg.revision})
			}
			look() // who writes needs no poke
		}
		// session tells the replay and what changes meanwhile, by own and other hands.
		session := func(isWhole bool) {
			mirror.open()
			answer := stock.store
			if rapid.Bool().Draw(t, "a write while it asks") {
				own()
			}
			mirror.begin(answer)
			if rapid.Bool().Draw(t, "a write before the replay") {
				own()
			}
			messages := stock.replay()
			end := len(messages)
			for range rapid.IntRange(0, 5).Draw(t, "live") {
				messages = append(messages, change())
			}
			if !isWhole {
				messages, end = mangle(t, messages, end)
			}
			for i, msg := range messages {
				if i == end {
					mirror.synced()
				}
				tell(mirror, msg)
			}
			if end == len(messages) {
				mirror.synced()
			}
			if isWhole && rapid.Bool().Draw(t, "a write at the end") {
				own()
			}
		}
		for range rapid.IntRange(1, 6).Draw(t, "sessions") {
			switch rapid.IntRange(0, 5).Draw(t, "fate of the store") {
			case 0:
				stock = model{store: store{created: stock.created.Add(1)}, keys: map[string]message{}}
			case 1:
				if backup.created.Equal(stock.created) {
					stock = backup.copy()
				}
			case 2:
				backup = stock.copy()
			}
			for range rapid.IntRange(0, 8).Draw(t, "changes while nobody reads") {
				change()
			}
			if rapid.Bool().Draw(t, "a purge") {
				delete(stock.keys, key.Draw(t, "key")) // of which no session tells
			}
			session(false)
		}
		session(true)
		check(t, mirror, stock, poked, hooked)
	})
}

// mangle drops, doubles and moves messages, each with three in ten, and may cut the end
// off. It returns where the replay now ends, beyond all messages if that is not told.
func mangle(t *rapid.T, in []message, end int) ([]message, int) {
	var out []message
	for _, msg := range in {
		switch rapid.IntRange(0, 9).Draw(t, "fault") {
		case 0:
		case 1:
			out = append(out, msg, msg)
		case 2:
			out = slices.Insert(out, rapid.IntRange(0, len(out)).Draw(t, "place"), msg)
		default:
			out = append(out, msg)
		}
	}
	out = out[:rapid.IntRange(0, len(out)).Draw(t, "cut")]
	return out, min(end, rapid.IntRange(0, len(out)+1).Draw(t, "end of the replay"))
}

func check(t *rapid.T, mirror *Mirror, stock model, poked map[string]string, hooked follower) {
	values, ok := mirror.Values()
	if !ok {
		t.Fatal("a whole session leaves the copy complete")
	}
	want := map[string]string{}
	for key, msg := range stock.keys {
		if msg.isGone {
			if got := mirror.gone[key].revision; got != msg.revision {
				t.Errorf("%s is gone since %d, the mirror says %d", key, msg.revision, got)
			}
			continue
		}
		want[key] = msg.data
		if v := values[key]; v.Revision != msg.revision {
			t.Errorf("%s has revision %d, want %d", key, v.Revision, msg.revision)
		}
	}
	got := map[string]string{}
	for key, v := range values {
		got[key] = string(v.Data)
	}
	for who, have := range map[string]map[string]string{"the mirror": got, "whoever was poked": poked, "the hook": hooked} {
		if !maps.Equal(have, want) {
			t.Errorf("%s has %v, the store %v", who, have, want)
		}
	}
}

// TestAPokeMeansAChange pins what is not worth one.
func TestAPokeMeansAChange(t *testing.T) {
	pokes := 0
	m := (&Bucket{}).Mirror(">", func() { pokes++ })
	step := func(what string, want int, f func()) {
		t.Helper()
		pokes = 0
		f()
		if pokes != want {
			t.Errorf("%s: %d pokes, want %d", what, pokes, want)
		}
	}
	begin := func(last uint64) {
		m.open()
		m.begin(store{created: time.Unix(1, 0), last: last})
	}
	value := func(revision uint64) Value { return Value{Data: []byte("x"), Revision: revision} }
	step("the first reading", 2, func() { begin(1); m.put("a", value(1)); m.synced() })
	step("the same again", 0, func() { begin(1); m.put("a", value(1)); m.synced() })
	step("the same bytes under another revision", 0, func() { m.put("a", value(2)) })
	step("an own write that comes back", 0, func() { m.note("b", value(3)); m.put("b", value(3)) })
	step("a key that is gone", 1, func() { m.remove("b", 4, time.Unix(1, 0)) })
	step("a key that was never there", 0, func() { m.remove("c", 5, time.Unix(1, 0)) })
	step("a key that the next session does not tell", 1, func() { begin(5); m.synced() })
	if len(m.gone) > 0 {
		t.Errorf("what the session did not tell of is still said to be deleted: %v", m.gone)
	}
}

// TestAStoreThatGoesBackIsAnotherStore is the rewind in slow motion.
func TestAStoreThatGoesBackIsAnotherStore(t *testing.T) {
	m := (&Bucket{}).Mirror(">", func() {})
	created := time.Unix(1, 0)
	m.open()
	m.begin(store{created: created})
	m.put("kept", Value{Data: []byte("1"), Revision: 950})
	m.put("lost", Value{Data: []byte("1"), Revision: 1000})
	m.synced()
	seen := m.store
	m.open()
	m.begin(store{created: created, last: 950})
	if m.Synced() || m.is(seen) {
		t.Error("nothing is known of a store that lost something until it is read again")
	}
	m.put("kept", Value{Data: []byte("1"), Revision: 950})
	m.synced()
	m.put("kept", Value{Data: []byte("2"), Revision: 951})
	values, ok := m.Values()
	if !ok || len(values) != 1 || string(values["kept"].Data) != "2" {
		t.Errorf("it holds %v (complete: %v)", values, ok)
	}
}
