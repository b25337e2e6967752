package store

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/wagglehq/waggle/pkg/atomicfile"
	"github.com/wagglehq/waggle/pkg/bus"
	"github.com/wagglehq/waggle/proxy/internal/certs"
	"github.com/wagglehq/waggle/proxy/internal/certs/sealed"
)

// Prefix is what the keys of uploads in the bucket begin with.
const Prefix = "proxy.cert."

// What Put and Delete fail with, recognised with errors.Is.
var (
	// ErrNotReady means that the bus does not answer, so that nothing was changed.
	ErrNotReady = errors.New("the bus does not answer, so nothing was changed")
	// ErrNotFound means that nothing of this name was uploaded.
	ErrNotFound = errors.New("no certificate of this name was uploaded")
	// ErrNoKey means that there is no secret by which uploads could be sealed.
	ErrNoKey = errors.New("neither seal-key nor token is set, so nothing can be uploaded")
	// ErrConflict means that somebody else has uploaded this name in the same moment.
	ErrConflict = errors.New("another upload of this name came in the same moment, so nothing was changed: upload it again if it is the newer one")
)

// errPutBack says that an upload on the bus is older than what was known of its name.
var errPutBack = errors.New("the upload on the bus is older than the last one of its name, or was removed: somebody has put it back. Upload it again if that is meant")

// uploads are those on the bus, and what is known of them. look belongs to one goroutine, put
// and remove to any.
type uploads struct {
	o Options
	// kept is the content of Options.Copy, loaded once.
	kept    saved
	written []byte
	loaded  bool
	// losses is how often the bucket had lost something when it was last looked at.
	losses int
	// newest is the highest stamp that was seen.
	newest atomic.Uint64
}

// saved is the form of Options.Copy.
type saved struct {
	// Epoch is that of the store which had these uploads.
	Epoch   string            `json:"epoch"`
	Uploads map[string]string `json:"uploads"`
	// Stamps are those of the last uploads of all names, removed ones too. What is older is
	// an old value that somebody has put back.
	Stamps map[string]uint64 `json:"stamps,omitempty"`
}

// mostStamps is of how many names the stamps are kept.
const mostStamps = 10_000

// upload is what is sealed.
type upload struct {
	Name string `json:"name"`
	PEM  string `json:"pem"`
	// Stamp grows from one upload to the next: it is the time in nanoseconds since 1970, or
	// one more than what was seen before. Those of versions that had none are 0.
	Stamp uint64 `json:"stamp"`
}

// found is an upload on the bus that could be opened.
type found struct {
	upload
	revision uint64
	// byOther says that it was sealed by another secret than the present one.
	byOther bool
}

// look returns what was uploaded: what is on the bus, or while that is not known what was
// there the last time.
func (u *uploads) look(ctx context.Context) ([]certs.Candidate, error) {
	err := u.load()
	refused := map[string]error{}
	values, losses, synced := u.o.Uploads.State()
	epoch, known := u.o.Epoch()
	if !synced || !known || u.o.Key == nil {
		return u.parsed(refused), err
	}
	if epoch != u.kept.Epoch || losses != u.losses {
		// The store is another one than that which had them, or has lost something.
		if done, err := u.restore(ctx, values); err != nil || !done {
			return u.parsed(refused), err
		}
		after, more, synced := u.o.Uploads.State()
		if !synced || more != losses {
			return u.parsed(refused), nil // it is read anew, and looked at again then
		}
		values, u.losses = after, losses
	}
	u.kept.Epoch = epoch
	opened := u.open(values, refused)
	u.take(opened, refused)
	return u.parsed(refused), errors.Join(err, u.save(), u.renew(ctx, opened))
}

// open opens the uploads on the bus. Those that cannot be opened are refused, by their names.
func (u *uploads) open(values map[string]bus.Value, refused map[string]error) map[string]found {
	out := map[string]found{}
	for key, v := range values {
		f, err := u.unseal(key, v)
		if err != nil {
			refused[u.nameOf(key)] = fmt.Errorf("the upload on the bus cannot be opened: %w", err)
			continue
		}
		u.see(f.Stamp)
		out[f.Name] = f
	}
	return out
}

func (u *uploads) unseal(key string, v bus.Value) (found, error) {
	f := found{revision: v.Revision}
	plain, byOther, err := u.o.Key.Open(key, v.Data)
	if err != nil {
		return f, err
	}
	f.byOther = byOther
	if json.Unmarshal(plain, &f.upload) != nil || key != place(f.Name) {
		return f, sealed.ErrOpen
	}
	return f, nil
}

// take makes what was opened that which is known. What is older than what was known counts as
// it was, and so does what could not be opened.
func (u *uploads) take(opened map[string]found, refused map[string]error) {
	now, stamps := map[string]string{}, maps.Clone(u.kept.Stamps)
	if stamps == nil {
		stamps = map[string]uint64{}
	}
	for name, f := range opened {
		last, seen := stamps[name]
		if f.Stamp < last || seen && f.Stamp == last && u.kept.Uploads[name] == "" {
			refused[name] = errPutBack
			continue
		}
		now[name], stamps[name] = f.PEM, f.Stamp
	}
	for name := range refused {
		now[name] = u.kept.Uploads[name]
	}
	for name, pem := range u.kept.Uploads {
		if _, there := now[name]; !there && pem != "" {
			stamps[name] = u.kept.Stamps[name]
			u.o.Log.Info("an uploaded certificate was removed from the bus", "name", name)
		}
	}
	u.kept.Uploads, u.kept.Stamps = now, fewer(stamps, now)
}

// fewer drops the oldest stamps of names that were removed, if there are too many.
func fewer(stamps map[string]uint64, there map[string]string) map[string]uint64 {
	if len(stamps) <= mostStamps {
		return stamps
	}
	names := slices.SortedFunc(maps.Keys(stamps), func(a, b string) int {
		return cmp.Or(cmp.Compare(stamps[a], stamps[b]), strings.Compare(a, b))
	})
	for _, name := range names {
		if _, ok := there[name]; !ok && len(stamps) > mostStamps {
			delete(stamps, name)
		}
	}
	return stamps
}

// nameOf is the name of an upload whose content is hidden.
func (u *uploads) nameOf(key string) string {
	for name := range u.kept.Uploads {
		if place(name) == key {
			return name
		}
	}
	return strings.TrimPrefix(key, Prefix)
}

// parsed makes candidates of the uploads, sorted by name.
func (u *uploads) parsed(refused map[string]error) []certs.Candidate {
	var out []certs.Candidate
	for name, pem := range u.kept.Uploads {
		c := certs.Candidate{Name: name, Source: certs.Upload}
		if pem == "" {
			c.Err = refused[name]
		} else {
			c.Certificate, c.Err = certs.Parse([]byte(pem))
			c.Problem = refused[name]
		}
		out = append(out, c)
	}
	slices.SortFunc(out, func(a, b certs.Candidate) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// restore puts uploads on a bus that has lost them, or has older ones in their places: of all
// that the replicas and the bus have of one name the newest is there in the end. What was
// removed is forgotten, so that what a backup has again is there again. It is not done while
// another replica was quicker, whose value is about to come.
func (u *uploads) restore(ctx context.Context, values map[string]bus.Value) (done bool, err error) {
	opened, done := u.open(values, map[string]error{}), true
	for name, pem := range u.kept.Uploads {
		key, stamp := place(name), u.kept.Stamps[name]
		revision := u.o.Uploads.Deleted(key)
		if v, there := values[key]; there {
			if f, ok := opened[name]; !ok || f.Stamp >= stamp {
				continue
			}
			revision = v.Revision
		}
		if pem == "" {
			continue
		}
		switch err := u.write(ctx, upload{name, pem, stamp}, bus.IfRevision(revision)); {
		case errors.Is(err, bus.ErrConflict):
			done = false
		case err != nil:
			return false, err
		default:
			u.o.Log.Info("an upload that the bus has lost is there again", "name", name)
		}
	}
	maps.DeleteFunc(u.kept.Stamps, func(name string, _ uint64) bool { return u.kept.Uploads[name] == "" })
	return done, nil
}

// renew seals anew what was sealed by another secret, so that the other one can be dropped.
func (u *uploads) renew(ctx context.Context, opened map[string]found) error {
	for name, f := range opened {
		if !f.byOther || u.kept.Stamps[name] != f.Stamp {
			continue
		}
		err := u.write(ctx, f.upload, bus.IfRevision(f.revision))
		if err != nil && !errors.Is(err, bus.ErrConflict) {
			return err
		}
	}
	return nil
}

func (u *uploads) write(ctx context.Context, what upload, options ...bus.PutOption) error {
	plain, err := json.Marshal(what)
	if err != nil {
		return err
	}
	key := place(what.Name)
	_, err = u.o.Uploads.Put(ctx, key, u.o.Key.Seal(key, plain), options...)
	return err
}

// place is the key of an upload in the bucket.
func place(name string) string { return Prefix + bus.Token(name) }

// see notes a stamp.
func (u *uploads) see(stamp uint64) {
	for last := u.newest.Load(); stamp > last && !u.newest.CompareAndSwap(last, stamp); {
		last = u.newest.Load()
	}
}

// next is a stamp above all that were seen. Time keeps it above those of other replicas, too,
// where this one has seen nothing yet.
func (u *uploads) next() uint64 {
	for {
		last := u.newest.Load()
		stamp := max(uint64(max(u.o.Now().UnixNano(), 0)), last+1)
		if u.newest.CompareAndSwap(last, stamp) {
			return stamp
		}
	}
}

// load reads the copy, once.
func (u *uploads) load() error {
	if u.loaded {
		return nil
	}
	content, err := os.ReadFile(u.o.Copy)
	if errors.Is(err, fs.ErrNotExist) {
		u.loaded = true
		return nil
	}
	if err != nil {
		return fmt.Errorf("certificates: %w", err)
	}
	u.loaded, u.written = true, content
	if err := json.Unmarshal(content, &u.kept); err != nil {
		u.kept = saved{}
		return errors.New("certificates: the copy of the uploads is of no use")
	}
	for _, stamp := range u.kept.Stamps {
		u.see(stamp)
	}
	return nil
}

// save keeps a copy for a start without a bus.
func (u *uploads) save() error {
	content, err := json.Marshal(u.kept)
	if err != nil || bytes.Equal(content, u.written) {
		return err
	}
	if _, err := atomicfile.Write(u.o.Copy, content, 0o600); err != nil {
		return err
	}
	u.written = content
	return nil
}

func (u *uploads) put(ctx context.Context, name, pem string) error {
	switch {
	case u.o.Key == nil:
		return ErrNoKey
	case !u.o.Uploads.Synced():
		return ErrNotReady
	}
	var options []bus.PutOption
	if v, there := u.o.Uploads.Value(place(name)); there {
		// What has come since the last look counts as well.
		if f, err := u.unseal(place(name), v); err == nil {
			u.see(f.Stamp)
		}
		options = append(options, bus.IfRevision(v.Revision))
	}
	err := u.write(ctx, upload{name, pem, u.next()}, options...)
	switch {
	case errors.Is(err, bus.ErrConflict):
		return ErrConflict
	case err != nil:
		return fmt.Errorf("%w: %w", ErrNotReady, err)
	}
	return nil
}

func (u *uploads) remove(ctx context.Context, name string) error {
	if !u.o.Uploads.Synced() {
		return ErrNotReady
	}
	if _, ok := u.o.Uploads.Value(place(name)); !ok {
		return ErrNotFound
	}
	if err := u.o.Uploads.Delete(ctx, place(name)); err != nil {
		return fmt.Errorf("%w: %w", ErrNotReady, err)
	}
	return nil
}
