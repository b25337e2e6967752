// Package vault keeps values that all replicas of the proxy share and nobody else may read:
// sealed on the bus, with a copy on the disk of each replica. A bus that has lost its store gets
// them back, and an old value that somebody puts back is refused (ADR 30).
package vault

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/wagglehq/waggle/pkg/atomicfile"
	"github.com/wagglehq/waggle/pkg/bus"
	"github.com/wagglehq/waggle/proxy/internal/certs/sealed"
)

// What writing fails with, recognised with errors.Is.
var (
	// ErrNotReady means that the bus does not answer, so that nothing was changed.
	ErrNotReady = errors.New("the bus does not answer, so nothing was changed")
	// ErrNotFound means that there is no value of this name.
	ErrNotFound = errors.New("there is no value of this name")
	// ErrNoKey means that there is no secret by which values could be sealed.
	ErrNoKey = errors.New("neither seal-key nor token is set, so nothing can be sealed")
	// ErrConflict means that somebody else has written this name meanwhile.
	ErrConflict = errors.New("somebody else has written it in the same moment, so nothing was changed")
)

// ErrPutBack says that a value on the bus is older than what was known of its name.
var ErrPutBack = errors.New("the value on the bus is older than the last one of its name, or was removed: somebody has put it back")

// Options say where the values lie.
type Options struct {
	// Prefix is what their keys in Bucket begin with, and Mirror the copy of these keys.
	// Only who calls Read or Write needs a Bucket.
	Prefix string
	Bucket *bus.Bucket
	Mirror *bus.Mirror
	// Copy is the file in which they are kept for a start without a bus. It is written
	// at most once in each SaveEvery; Again is then called with the time that is left.
	Copy      string
	SaveEvery time.Duration
	Again     func(time.Duration)
	// What the values are, for the log ("upload").
	What string
	// Epoch names the store of the bus: after a loss it is another one. It is false
	// while it is not known.
	Epoch func() (string, bool)
	// Key seals; nil if there is no secret.
	Key *sealed.Key
	// Now is the time, of which values get their stamps; time.Now if it is nil.
	Now func() time.Time
	Log *slog.Logger
}

// Vault is what is known of the values. Look belongs to one goroutine, the other methods to
// any.
type Vault struct {
	o Options
	// kept is the content of Options.Copy, loaded once.
	kept    saved
	written []byte
	saved   time.Time
	loaded  bool
	// seen are the values that were opened last, by their keys.
	seen map[string]found
	// losses is how often the bucket had lost something when it was last looked at.
	losses int
	// newest is the highest stamp that was seen.
	newest atomic.Uint64
}

// New returns a Vault that has not looked yet.
func New(o Options) *Vault {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Vault{o: o}
}

// Looked is what a look has found. Nothing of it is changed any more.
type Looked struct {
	// Values are all values by name, empty for one that is there and of which nothing is
	// known; Refused says of which names there is something on the bus that does not
	// count, and why.
	Values  map[string]string
	Refused map[string]error
	// Store names the store of the bus that has these values. It is empty while the bus does not
	// answer, or has not got back yet what it has lost.
	Store string
}

// saved is the form of Options.Copy. The names of its fields are those of uploaded certificates,
// which were the first to be kept so.
type saved struct {
	// Epoch is that of the store which had these values.
	Epoch  string            `json:"epoch"`
	Values map[string]string `json:"uploads"`
	// Stamps are those of the last values of all names, removed ones too. What is older is
	// an old value that somebody has put back.
	Stamps map[string]uint64 `json:"stamps,omitempty"`
	// At is the day when the bus had just these values. Versions that did not note it believed
	// that what is missing was removed, and so did the marks that they left.
	At time.Time `json:"at,omitzero"`
}

// mostStamps is of how many names the stamps are kept.
const mostStamps = 10_000

// value is what is sealed; its text was a certificate's PEM at first.
type value struct {
	Name string `json:"name"`
	Text string `json:"pem"`
	// Stamp grows from one value of a name to the next: it is the time in nanoseconds since
	// 1970, or one more than what was seen before. Those of versions that had none are 0.
	Stamp uint64 `json:"stamp"`
}

// found is a value on the bus that could be opened.
type found struct {
	value
	// sealed is what lay on the bus. A revision says nothing of it once the store is another one.
	sealed   []byte
	revision uint64
	// byOther says that it was sealed by another secret than the present one.
	byOther bool
}

// Look returns what is on the bus, or while that is not known what was there the last time.
func (v *Vault) Look(ctx context.Context) (Looked, error) {
	err := v.load()
	refused := map[string]error{}
	values, losses, synced := v.o.Mirror.State()
	epoch, known := v.o.Epoch()
	if !synced || !known || v.o.Key == nil {
		return v.looked(refused), err
	}
	isOther := epoch != v.kept.Epoch || losses != v.losses
	if isOther {
		// The store is another one than that which had them, or went back in time. What was
		// removed is forgotten, so that what a backup has again is there again.
		maps.DeleteFunc(v.kept.Stamps, func(name string, _ uint64) bool { return v.kept.Values[name] == "" })
	}
	if isOther || v.isMissing(values) {
		if done, err := v.restore(ctx, values, isOther); err != nil || !done {
			return v.looked(refused), err
		}
		after, more, synced := v.o.Mirror.State()
		if !synced || more != losses {
			return v.looked(refused), nil // it is read anew, and looked at again then
		}
		values, v.losses = after, losses
	}
	v.kept.Epoch, v.kept.At = epoch, v.o.Now().UTC().Truncate(24*time.Hour)
	opened := v.open(values, refused)
	v.take(opened, refused)
	out := v.looked(refused)
	out.Store = fmt.Sprintf("%s-%d", epoch, losses)
	return out, errors.Join(err, v.save(), v.renew(ctx, opened))
}

func (v *Vault) looked(refused map[string]error) Looked {
	return Looked{Values: v.kept.Values, Refused: refused}
}

// open opens the values on the bus. Those that cannot be opened are refused, by their names.
func (v *Vault) open(values map[string]bus.Value, refused map[string]error) map[string]found {
	out, seen := make(map[string]found, len(values)), make(map[string]found, len(values))
	for key, on := range values {
		f, ok := v.seen[key]
		if f.revision = on.Revision; !ok || !bytes.Equal(f.sealed, on.Data) {
			var err error
			if f, err = v.unseal(key, on.Data, on.Revision); err != nil {
				refused[v.nameOf(key)] = fmt.Errorf("the value on the bus cannot be opened: %w", err)
				continue
			}
		}
		v.see(f.Stamp)
		out[f.Name], seen[key] = f, f
	}
	v.seen = seen
	return out
}

func (v *Vault) unseal(key string, data []byte, revision uint64) (found, error) {
	f := found{sealed: data, revision: revision}
	plain, byOther, err := v.o.Key.Open(key, data)
	if err != nil {
		return f, err
	}
	f.byOther = byOther
	if json.Unmarshal(plain, &f.value) != nil || key != v.Place(f.Name) {
		return f, sealed.ErrOpen
	}
	return f, nil
}

// take makes what was opened that which is known. What is older than what was known counts as
// it was, and so does what could not be opened.
func (v *Vault) take(opened map[string]found, refused map[string]error) {
	now, stamps := map[string]string{}, maps.Clone(v.kept.Stamps)
	if stamps == nil {
		stamps = map[string]uint64{}
	}
	for name, f := range opened {
		last, seen := stamps[name]
		if f.Stamp < last || seen && f.Stamp == last && v.kept.Values[name] == "" {
			refused[name] = ErrPutBack
			continue
		}
		now[name], stamps[name] = f.Text, f.Stamp
	}
	for name := range refused {
		now[name] = v.kept.Values[name]
	}
	for name, text := range v.kept.Values {
		if _, there := now[name]; !there && text != "" {
			stamps[name] = v.kept.Stamps[name]
			v.o.Log.Info("a sealed value was removed from the bus", "what", v.o.What, "name", name)
		}
	}
	v.kept.Values, v.kept.Stamps = now, fewer(stamps, now)
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

// nameOf is the name of a value whose content is hidden.
func (v *Vault) nameOf(key string) string {
	for name := range v.kept.Values {
		if v.Place(name) == key {
			return name
		}
	}
	return strings.TrimPrefix(key, v.o.Prefix)
}

// isMissing reports whether the bus has neither a value that was known nor the mark of its removal,
// as when a disk has gone bad.
func (v *Vault) isMissing(values map[string]bus.Value) bool {
	if v.o.Now().Sub(v.kept.At) > bus.ManualRemembered {
		return false
	}
	for name, text := range v.kept.Values {
		key := v.Place(name)
		if _, there := values[key]; there || text == "" {
			continue
		}
		if revision, _ := v.o.Mirror.Deleted(key); revision == 0 {
			return true
		}
	}
	return false
}

// restore puts values on a bus that has lost them, or, if it is another store, has older ones in
// their places: of all that the replicas and the bus have of one name the newest is there in the
// end, unless it was removed after that. It is not done while another replica was quicker, whose value is about to
// come.
func (v *Vault) restore(ctx context.Context, values map[string]bus.Value, isOther bool) (done bool, err error) {
	opened, done := v.open(values, map[string]error{}), true
	for name, text := range v.kept.Values {
		key, stamp := v.Place(name), v.kept.Stamps[name]
		revision, removed := v.o.Mirror.Deleted(key)
		if on, there := values[key]; there {
			if f, ok := opened[name]; !ok || f.Stamp >= stamp || !isOther {
				continue
			}
			revision, removed = on.Revision, time.Time{}
		}
		if text == "" || !removed.IsZero() && uint64(max(removed.UnixNano(), 0)) > stamp {
			continue
		}
		switch err := v.write(ctx, value{name, text, stamp}, bus.IfRevision(revision)); {
		case errors.Is(err, bus.ErrConflict):
			done = false
		case err != nil:
			return false, err
		default:
			v.o.Log.Info("a sealed value that the bus has lost is there again", "what", v.o.What, "name", name)
		}
	}
	return done, nil
}

// renew seals anew what was sealed by another secret, so that the other one can be dropped.
func (v *Vault) renew(ctx context.Context, opened map[string]found) error {
	for name, f := range opened {
		if !f.byOther || v.kept.Stamps[name] != f.Stamp {
			continue
		}
		err := v.write(ctx, f.value, bus.IfRevision(f.revision))
		if err != nil && !errors.Is(err, bus.ErrConflict) {
			return err
		}
	}
	return nil
}

func (v *Vault) write(ctx context.Context, what value, options ...bus.PutOption) error {
	plain, err := json.Marshal(what)
	if err != nil {
		return err
	}
	key := v.Place(what.Name)
	_, err = v.o.Mirror.Put(ctx, key, v.o.Key.Seal(key, plain), options...)
	return err
}

// Place is the key of a value in the bucket.
func (v *Vault) Place(name string) string { return v.o.Prefix + bus.Token(name) }

// see notes a stamp.
func (v *Vault) see(stamp uint64) {
	for last := v.newest.Load(); stamp > last && !v.newest.CompareAndSwap(last, stamp); {
		last = v.newest.Load()
	}
}

// next is a stamp above all that were seen. Time keeps it above those of other replicas, too,
// where this one has seen nothing yet.
func (v *Vault) next() uint64 {
	for {
		last := v.newest.Load()
		stamp := max(uint64(max(v.o.Now().UnixNano(), 0)), last+1)
		if v.newest.CompareAndSwap(last, stamp) {
			return stamp
		}
	}
}

// load reads the copy, once.
func (v *Vault) load() error {
	if v.loaded {
		return nil
	}
	content, err := os.ReadFile(v.o.Copy)
	if errors.Is(err, fs.ErrNotExist) {
		v.loaded = true
		return nil
	}
	if err != nil {
		return fmt.Errorf("vault: %w", err)
	}
	v.loaded, v.written = true, content
	if err := json.Unmarshal(content, &v.kept); err != nil {
		v.kept = saved{}
		return fmt.Errorf("vault: the copy in %s is of no use", filepath.Base(v.o.Copy))
	}
	for _, stamp := range v.kept.Stamps {
		v.see(stamp)
	}
	return nil
}

// save keeps a copy for a start without a bus.
func (v *Vault) save() error {
	now := v.o.Now()
	if wait := v.o.SaveEvery - now.Sub(v.saved); wait > 0 && !v.saved.IsZero() && v.o.Again != nil {
		v.o.Again(wait)
		return nil
	}
	content, err := json.Marshal(v.kept)
	if err != nil || bytes.Equal(content, v.written) {
		return err
	}
	if _, err := atomicfile.Write(v.o.Copy, content, 0o600); err != nil {
		return err
	}
	v.written, v.saved = content, now
	return nil
}

// Put makes a value that of a name, whatever it was before.
func (v *Vault) Put(ctx context.Context, name, text string) error {
	switch {
	case v.o.Key == nil:
		return ErrNoKey
	case !v.o.Mirror.Synced():
		return ErrNotReady
	}
	var options []bus.PutOption
	if on, there := v.o.Mirror.Value(v.Place(name)); there {
		// What has come since the last look counts as well.
		if f, err := v.unseal(v.Place(name), on.Data, on.Revision); err == nil {
			v.see(f.Stamp)
		}
		options = append(options, bus.IfRevision(on.Revision))
	}
	return explained(v.write(ctx, value{name, text, v.next()}, options...))
}

// Read returns the value of a name as the bus has it at this moment, and its stamp: an empty
// one and 0 if there is none.
func (v *Vault) Read(ctx context.Context, name string) (text string, stamp uint64, err error) {
	f, _, err := v.read(ctx, name)
	return f.Text, f.Stamp, err
}

// read is Read, and returns the revision that the next write must name.
func (v *Vault) read(ctx context.Context, name string) (found, uint64, error) {
	if v.o.Key == nil {
		return found{}, 0, ErrNoKey
	}
	data, revision, err := v.o.Bucket.Get(ctx, v.Place(name))
	switch {
	case errors.Is(err, bus.ErrNotFound):
		return found{}, revision, nil
	case err != nil:
		return found{}, 0, fmt.Errorf("%w: %w", ErrNotReady, err)
	}
	f, err := v.unseal(v.Place(name), data, revision)
	if err != nil {
		return found{}, revision, err
	}
	v.see(f.Stamp)
	return f, revision, nil
}

// Write makes a value the next one after that with a stamp, and returns its own. If the bus has a
// newer one than that, somebody else has written it, and nothing is changed: ErrConflict. So
// whoever was stopped for a while cannot undo what was done meanwhile. One that the bus has lost
// is no newer one.
func (v *Vault) Write(ctx context.Context, name, text string, after uint64) (stamp uint64, err error) {
	f, revision, err := v.read(ctx, name)
	switch {
	case err != nil:
		return 0, err
	case f.Stamp > after:
		return 0, ErrConflict
	}
	v.see(after)
	stamp = v.next()
	return stamp, explained(v.write(ctx, value{name, text, stamp}, bus.IfRevision(revision)))
}

// explained makes an error of the bus one of this package.
func explained(err error) error {
	switch {
	case errors.Is(err, bus.ErrConflict):
		return ErrConflict
	case err != nil:
		return fmt.Errorf("%w: %w", ErrNotReady, err)
	}
	return nil
}

// Remove removes the value of a name.
func (v *Vault) Remove(ctx context.Context, name string) error {
	if !v.o.Mirror.Synced() {
		return ErrNotReady
	}
	if _, ok := v.o.Mirror.Value(v.Place(name)); !ok {
		return ErrNotFound
	}
	if err := v.o.Mirror.Delete(ctx, v.Place(name)); err != nil {
		return fmt.Errorf("%w: %w", ErrNotReady, err)
	}
	return nil
}
