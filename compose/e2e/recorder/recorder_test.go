package recorder

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// story is a bucket to which messages are written, each a second after the one before.
type story struct {
	r    *Recorder
	next uint64
}

func begin() *story {
	return &story{r: New(func(labels map[string]string) (uint64, bool) {
		n, err := strconv.ParseUint(labels["change"], 10, 64)
		return n, err == nil
	})}
}

func (s *story) message(m Message) *story {
	time.Sleep(time.Second) // in a bubble of synctest
	s.next++
	m.Sequence, m.Time = s.next, time.Now()
	if m.Store == "" {
		m.Store = "first"
	}
	s.r.Take(m)
	return s
}

func (s *story) put(key, value string) *story {
	return s.message(Message{Key: key, Value: []byte(value)})
}
func (s *story) remove(key string) *story { return s.message(Message{Key: key, Deleted: true}) }

func (s *story) labelled(id string, change int) *story {
	return s.put("service."+id, fmt.Sprintf(`{"id":%q,"labels":{"change":"%d"}}`, id, change))
}

func (s *story) created(id string) *story {
	time.Sleep(time.Millisecond)
	s.r.Created(id, "shop-"+id)
	return s
}

func (s *story) removing(id string) *story {
	time.Sleep(time.Millisecond)
	s.r.Removing(id)
	return s
}

// TestRecorder tells what is written to a bucket, and what the recorder says of it.
func TestRecorder(t *testing.T) {
	versioned := func(key string, version uint64) Message {
		return Message{Key: key, Value: []byte("{}"), Version: version}
	}
	for name, c := range map[string]struct {
		tell func(*story)
		// faults are words of each fault; there are no others.
		faults []string
	}{
		"changes that only grow":                      {func(s *story) { s.created("a").labelled("a", 1).labelled("a", 2).labelled("a", 2).labelled("a", 7) }, nil},
		"a removal that was asked for":                {func(s *story) { s.created("a").labelled("a", 1).removing("a").remove("service.a").remove("tasks.a") }, nil},
		"a deletion of what exists":                   {func(s *story) { s.created("a").labelled("a", 1).remove("service.a") }, []string{"shop-a was deleted"}},
		"a deletion before the removal was asked for": {func(s *story) { s.created("a").labelled("a", 1).remove("service.a").removing("a") }, []string{"shop-a was deleted"}},
		"a deletion that is mended at once":           {func(s *story) { s.created("a").labelled("a", 1).remove("service.a").labelled("a", 1) }, []string{"shop-a was deleted"}},
		"each of several deletions": {func(s *story) {
			s.created("a").created("b").remove("service.a").labelled("a", 1).remove("service.a").remove("service.b")
		}, []string{"shop-a was deleted", "shop-a was deleted", "shop-b was deleted"}},
		"tasks of what exists are deleted":                {func(s *story) { s.created("a").remove("tasks.a") }, []string{"the tasks of shop-a"}},
		"a service that nobody speaks of goes":            {func(s *story) { s.labelled("x", 1).remove("service.x") }, nil},
		"a node goes":                                     {func(s *story) { s.put("node.n", "{}").remove("node.n") }, []string{"node.n was deleted"}},
		"the list goes":                                   {func(s *story) { s.put("_list", "{}").remove("_list") }, []string{"_list was deleted"}},
		"an older value":                                  {func(s *story) { s.created("a").labelled("a", 2).labelled("a", 1) }, []string{"change 1 after those of 2"}},
		"an older value after the newer one was repeated": {func(s *story) { s.created("a").labelled("a", 3).labelled("a", 3).labelled("a", 2).labelled("a", 3) }, []string{"change 2 after those of 3"}},
		"an older value after a deletion":                 {func(s *story) { s.labelled("x", 2).remove("service.x").labelled("x", 1) }, []string{"change 1 after those of 2"}},
		"versions that only grow":                         {func(s *story) { s.message(versioned("node.n", 4)).message(versioned("node.n", 9)).put("node.n", "{}") }, nil},
		"an older version":                                {func(s *story) { s.message(versioned("node.n", 9)).message(versioned("node.n", 4)) }, []string{"version 4 after 9"}},
		"versions of other keys do not count":             {func(s *story) { s.message(versioned("node.n", 9)).message(versioned("node.o", 4)) }, nil},
		"tasks that move on": {func(s *story) {
			s.put("tasks.a", `[{"id":"1","state":"starting","desired":"running"}]`).put("tasks.a", `{"tasks":[{"id":"1","state":"running","desired":"shutdown"}],"total":1}`)
		}, nil},
		"a task goes back": {func(s *story) {
			s.put("tasks.a", `{"tasks":[{"id":"1","state":"running","desired":"running"}],"total":1}`).put("tasks.a", `[]`).
				put("tasks.a", `[{"id":"1","state":"starting","desired":"running"}]`)
		}, []string{"starting and to be running after it was running"}},
		"a task is wanted again": {func(s *story) {
			s.put("tasks.a", `[{"id":"1","state":"running","desired":"shutdown"}]`).put("tasks.a", `[{"id":"1","state":"running","desired":"running"}]`)
		}, []string{"to be running after it was running and to be shutdown"}},
		"values that are none": {func(s *story) { s.put("service.a", `{`).put("tasks.a", `"x"`) }, []string{"service.a: ", "tasks.a: "}},
		"another store begins with what it has": {func(s *story) {
			s.labelled("a", 5)
			s.next = 0
			s.message(Message{Store: "second", Key: "service.a", Value: []byte(`{"labels":{"change":"3"}}`)})
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := begin()
				c.tell(s)
				got := s.r.Verdict(time.Time{})
				if len(got.Unseen) > 0 {
					t.Errorf("unseen: %v", got.Unseen)
				}
				if len(got.Faults) != len(c.faults) {
					t.Fatalf("faults:\n%s\nwant %q", strings.Join(got.Faults, "\n"), c.faults)
				}
				for i, words := range c.faults {
					if !strings.Contains(got.Faults[i], words) {
						t.Errorf("%q: want %q in it", got.Faults[i], words)
					}
				}
			})
		})
	}
}

// TestReadersOfSeveralServersAreOne gives each of two readers what the other has missed.
func TestReadersOfSeveralServersAreOne(t *testing.T) {
	one := func(n uint64) Message {
		return Message{Store: "first", Sequence: n, Key: "service.a", Value: []byte(`{}`), Time: time.Unix(int64(n), 0)}
	}
	s := begin()
	for _, n := range []uint64{4, 7, 8, 10} {
		s.r.Take(one(n))
	}
	for _, n := range []uint64{10, 4, 6} {
		s.r.Take(one(n))
	}
	v := s.r.Verdict(time.Time{})
	if v.Messages != 5 || !slices.Equal(v.Unseen, []uint64{5, 9}) {
		t.Errorf("%d messages, unseen %v, want 5, and 5 and 9", v.Messages, v.Unseen)
	}
	// What was replaced before anybody looked is no gap.
	if v := s.r.Verdict(time.Unix(7, 0)); v.Messages != 3 || !slices.Equal(v.Unseen, []uint64{9}) {
		t.Errorf("since the seventh: %d messages, unseen %v, want 3, and 9", v.Messages, v.Unseen)
	}
}

// TestAStoreThatWentBack holds the first five messages of the one before, less what was
// replaced since, and then others: what was seen before it went back was seen.
func TestAStoreThatWentBack(t *testing.T) {
	s := begin()
	take := func(store string, second int64, sequences ...uint64) {
		for _, n := range sequences {
			s.r.Take(Message{Store: store, Sequence: n, Key: "node.n", Value: []byte(`{}`), Time: time.Unix(second+int64(n), 0)})
		}
	}
	take("before", 0, 1, 2, 3, 4, 5, 6, 7)
	take("after", 0, 1, 5)
	take("after", 100, 8)
	if v := s.r.Verdict(time.Time{}); !slices.Equal(v.Unseen, []uint64{6, 7}) {
		t.Errorf("unseen %v, want those written anew, 6 and 7", v.Unseen)
	}
	if newest := s.r.Newest(); !newest.Equal(time.Unix(108, 0)) {
		t.Errorf("the newest is of %s", newest)
	}
}

// TestWhatWasBeforeIsJudgedByWhatComesAfter has a newer value from before the time
// that is looked at.
func TestWhatWasBeforeIsJudgedByWhatComesAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := begin().created("a").labelled("a", 4).labelled("a", 3)
		since := time.Now().Add(time.Millisecond)
		s.labelled("a", 2)
		if v := s.r.Verdict(since); len(v.Faults) != 1 || !strings.Contains(v.Faults[0], "change 2 after those of 4") {
			t.Errorf("faults: %q", v.Faults)
		}
	})
}
