// Package store knows the certificates that do not come by labels: the files of a
// folder, secrets, and what was uploaded, which all replicas share on the bus.
package store

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"

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
)

// Options say where certificates lie.
type Options struct {
	// CertsDir and SecretsDir are folders; in the second one those count whose names
	// begin with cert- or cert_.
	CertsDir, SecretsDir string
	// Copy is the file in which uploads are kept for a start without a bus.
	Copy string
	// Uploads is the copy of the bucket's keys below Prefix.
	Uploads *bus.Mirror
	// Epoch names the store of the bus: after a loss it is another one. It is false
	// while it is not known.
	Epoch func() (string, bool)
	// Key seals; nil if there is no secret.
	Key *sealed.Key
	// Changed is called after every look that found something else.
	Changed func()
	Log     *slog.Logger
}

// Store is what is known of certificates. Look belongs to one goroutine, the other
// methods to any.
type Store struct {
	o Options
	// files are those read before, by path.
	files map[string]file
	// kept is the content of Options.Copy, loaded once.
	kept    saved
	written []byte
	loaded  bool

	mu         sync.Mutex // Look writes it, others read it
	candidates []certs.Candidate
}

// file is one that was read before, with the last content that was good.
type file struct {
	info os.FileInfo
	certs.Candidate
}

// saved is the form of Options.Copy.
type saved struct {
	// Epoch is that of the store which had these uploads.
	Epoch   string            `json:"epoch"`
	Uploads map[string]string `json:"uploads"`
}

// upload is what is sealed.
type upload struct {
	Name string `json:"name"`
	PEM  string `json:"pem"`
}

// New returns a Store that has not looked yet.
func New(o Options) *Store { return &Store{o: o, files: map[string]file{}} }

// Candidates returns what the last look found.
func (s *Store) Candidates() []certs.Candidate {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.candidates
}

// Look looks at all places. What cannot be looked at stays as it was.
func (s *Store) Look(ctx context.Context) error {
	seen := map[string]bool{}
	all, errFiles := s.folder(s.o.CertsDir, certs.File, func(string) bool { return true }, seen)
	secrets, errSecrets := s.folder(s.o.SecretsDir, certs.Secret, isSecret, seen)
	for path := range s.files {
		if !seen[path] {
			delete(s.files, path)
		}
	}
	uploads, errUploads := s.uploads(ctx)
	all = slices.Concat(all, secrets, uploads)
	s.mu.Lock()
	changed := !reflect.DeepEqual(all, s.candidates)
	s.candidates = all
	s.mu.Unlock()
	if changed {
		s.o.Changed()
	}
	return errors.Join(errFiles, errSecrets, errUploads)
}

// isSecret tells the secrets that are certificates, in any case of letters.
func isSecret(name string) bool {
	name = strings.ToLower(name)
	return strings.HasPrefix(name, "cert-") || strings.HasPrefix(name, "cert_")
}

// folder reads the files of a folder that may not exist. Of one that cannot be listed the
// files read before count.
func (s *Store) folder(dir string, source certs.Source, wanted func(string) bool, seen map[string]bool) ([]certs.Candidate, error) {
	if dir == "" {
		return nil, nil
	}
	list, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		var out []certs.Candidate
		for path, f := range s.files {
			if f.Source == source {
				seen[path] = true
				out = append(out, f.Candidate)
			}
		}
		slices.SortFunc(out, func(a, b certs.Candidate) int { return strings.Compare(a.Name, b.Name) })
		return out, fmt.Errorf("certificates: %w", err)
	}
	var out []certs.Candidate
	for _, entry := range list {
		// A hidden file is a tool's, such as one that is not complete yet.
		if strings.HasPrefix(entry.Name(), ".") || !wanted(entry.Name()) {
			continue
		}
		path := filepath.Join(dir, entry.Name())
		info, err := os.Stat(path)
		if errors.Is(err, fs.ErrNotExist) || err == nil && !info.Mode().IsRegular() {
			continue
		}
		seen[path] = true
		out = append(out, s.read(path, entry.Name(), source, info, err))
	}
	return out, nil
}

// read reads a file unless it is the one that was read before. One that was good and is
// not any more, such as one that is being written, counts with its last good content.
func (s *Store) read(path, name string, source certs.Source, info os.FileInfo, err error) certs.Candidate {
	before, ok := s.files[path]
	if ok && err == nil && before.info != nil && os.SameFile(before.info, info) && before.info.ModTime().Equal(info.ModTime()) && before.info.Size() == info.Size() {
		return before.Candidate
	}
	now := file{info: info, Candidate: certs.Candidate{Name: name, Source: source}}
	var content []byte
	if err == nil && info.Size() <= certs.MaxBytes {
		content, err = os.ReadFile(path)
	}
	switch {
	case err != nil:
		now.info = nil // another look reads it again
		now.Err = errors.New("it cannot be read: " + cause(err))
	case info.Size() > certs.MaxBytes:
		now.Err = fmt.Errorf("it has %d bytes, and %d are the most", info.Size(), certs.MaxBytes)
	default:
		now.Certificate, now.Err = certs.Parse(content)
	}
	if now.Err != nil && ok && before.Err == nil {
		now.Certificate, now.Err, now.Problem = before.Certificate, nil, now.Err
	}
	s.files[path] = now
	return now.Candidate
}

// cause is an error without the path in it.
func cause(err error) string {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err.Error()
	}
	return err.Error()
}

// uploads returns what was uploaded: what is on the bus, or while that is not known what
// was there the last time.
func (s *Store) uploads(ctx context.Context) ([]certs.Candidate, error) {
	err := s.load()
	refused := map[string]error{}
	values, synced := s.o.Uploads.Values()
	epoch, known := s.o.Epoch()
	if synced && known && s.o.Key != nil {
		if epoch != s.kept.Epoch {
			// The store is another one than that which had them, so it has lost them.
			if err := s.restore(ctx, values); err != nil {
				return s.parsed(refused), err
			}
			values, _ = s.o.Uploads.Values()
		}
		s.kept.Epoch = epoch
		s.kept.Uploads = s.open(values, refused)
		err = errors.Join(err, s.save())
	}
	return s.parsed(refused), err
}

// open returns the uploads on the bus. One that cannot be opened counts as it was.
func (s *Store) open(values map[string]bus.Value, refused map[string]error) map[string]string {
	out := map[string]string{}
	for key, v := range values {
		var u upload
		plain, err := s.o.Key.Open(key, v.Data)
		if err == nil {
			err = json.Unmarshal(plain, &u)
		}
		if err == nil && key != place(u.Name) {
			err = sealed.ErrOpen
		}
		if err == nil {
			out[u.Name] = u.PEM
			continue
		}
		name := s.nameOf(key)
		refused[name] = fmt.Errorf("the upload on the bus cannot be opened: %w", sealed.ErrOpen)
		out[name] = s.kept.Uploads[name]
	}
	return out
}

// nameOf is the name of an upload whose content is hidden.
func (s *Store) nameOf(key string) string {
	for name := range s.kept.Uploads {
		if place(name) == key {
			return name
		}
	}
	return strings.TrimPrefix(key, Prefix)
}

// parsed makes candidates of the uploads, sorted by name.
func (s *Store) parsed(refused map[string]error) []certs.Candidate {
	var out []certs.Candidate
	for name, pem := range s.kept.Uploads {
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

// restore puts uploads on a bus that has lost them. Another replica may be quicker.
func (s *Store) restore(ctx context.Context, values map[string]bus.Value) error {
	for name, pem := range s.kept.Uploads {
		if _, ok := values[place(name)]; ok || pem == "" {
			continue
		}
		if err := s.write(ctx, name, pem, bus.IfRevision(0)); err != nil && !errors.Is(err, bus.ErrConflict) {
			return err
		}
		s.o.Log.Info("an upload that the bus has lost is there again", "name", name)
	}
	return nil
}

func (s *Store) write(ctx context.Context, name, pem string, options ...bus.PutOption) error {
	plain, err := json.Marshal(upload{Name: name, PEM: pem})
	if err != nil {
		return err
	}
	_, err = s.o.Uploads.Put(ctx, place(name), s.o.Key.Seal(place(name), plain), options...)
	return err
}

// place is the key of an upload in the bucket.
func place(name string) string { return Prefix + bus.Token(name) }

// load reads the copy, once.
func (s *Store) load() error {
	if s.loaded {
		return nil
	}
	content, err := os.ReadFile(s.o.Copy)
	if errors.Is(err, fs.ErrNotExist) {
		s.loaded = true
		return nil
	}
	if err != nil {
		return fmt.Errorf("certificates: %w", err)
	}
	s.loaded, s.written = true, content
	if err := json.Unmarshal(content, &s.kept); err != nil {
		s.kept = saved{}
		return errors.New("certificates: the copy of the uploads is of no use")
	}
	return nil
}

// save keeps a copy for a start without a bus.
func (s *Store) save() error {
	content, err := json.Marshal(s.kept)
	if err != nil || bytes.Equal(content, s.written) {
		return err
	}
	if _, err := atomicfile.Write(s.o.Copy, content, 0o600); err != nil {
		return err
	}
	s.written = content
	return nil
}

// Put makes a certificate known to all replicas.
func (s *Store) Put(ctx context.Context, name, pem string) error {
	switch {
	case s.o.Key == nil:
		return ErrNoKey
	case !s.o.Uploads.Synced():
		return ErrNotReady
	}
	if err := s.write(ctx, name, pem); err != nil {
		return fmt.Errorf("%w: %w", ErrNotReady, err)
	}
	return nil
}

// Delete makes all replicas forget an upload.
func (s *Store) Delete(ctx context.Context, name string) error {
	if !s.o.Uploads.Synced() {
		return ErrNotReady
	}
	if _, ok := s.o.Uploads.Value(place(name)); !ok {
		return ErrNotFound
	}
	if err := s.o.Uploads.Delete(ctx, place(name)); err != nil {
		return fmt.Errorf("%w: %w", ErrNotReady, err)
	}
	return nil
}
