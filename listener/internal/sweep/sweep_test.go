package sweep

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/wagglehq/waggle/pkg/bus"
)

// bucket is a status bucket in memory.
type bucket struct {
	values  map[string]bus.Value
	deleted []string
	err     error
}

func (b *bucket) Delete(_ context.Context, key string, _ ...bus.PutOption) error {
	if b.err == nil {
		delete(b.values, key)
		b.deleted = append(b.deleted, key)
	}
	return b.err
}

func TestPass(t *testing.T) {
	now, leads := time.Now(), false
	b := &bucket{values: map[string]bus.Value{
		"proxy.p1.web": {Data: []byte(`{}`), Revision: 1}, "proxy.p2.web": {Data: []byte(`{}`), Revision: 2},
		"instance.proxy.p2": {Data: []byte(`{"component":"proxy","instance":"p2"}`)}, // always just written
	}}
	s := New(Options{
		Bucket: b, Values: func() (map[string]bus.Value, bool) { return b.values, true }, Leads: func() bool { return leads },
		Now: func() time.Time { return now }, Log: slog.New(slog.DiscardHandler),
	})
	pass := func() error { return s.Pass(t.Context()) }
	if err := pass(); err != nil {
		t.Fatal(err)
	}
	now = now.Add(3 * time.Minute)
	if err := pass(); err != nil || len(b.deleted) > 0 {
		t.Errorf("error %v, deleted %v by one who does not lead", err, b.deleted)
	}
	leads = true
	if err := pass(); err != nil || len(b.deleted) > 0 {
		t.Errorf("error %v, deleted %v by one who has just begun to lead", err, b.deleted)
	}
	now, b.err = now.Add(time.Minute), bus.ErrConflict
	if err := pass(); err != nil {
		t.Errorf("it minds that somebody wrote meanwhile: %v", err)
	}
	b.err = errors.New("bus away")
	if err := pass(); !errors.Is(err, b.err) {
		t.Errorf("error %v", err)
	}
	b.err = nil
	if err := pass(); err != nil || !slices.Equal(b.deleted, []string{"proxy.p1.web"}) {
		t.Errorf("error %v, deleted %v", err, b.deleted)
	}
	if all := s.Instances(); len(all) != 2 {
		t.Errorf("%+v", all)
	}
}
