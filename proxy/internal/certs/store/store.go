// Package store knows the certificates that do not come by labels: the files of a
// folder, secrets, and what was uploaded, which all replicas share on the bus.
package store

import (
	"context"
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
	"time"

	"github.com/wagglehq/waggle/pkg/bus"
	"github.com/wagglehq/waggle/proxy/internal/certs"
	"github.com/wagglehq/waggle/proxy/internal/certs/sealed"
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
	// Now is the time, of which uploads get their stamps; time.Now if it is nil.
	Now func() time.Time
	// Changed is called after every look that found something else.
	Changed func()
	Log     *slog.Logger
}

// Store is what is known of certificates. Look belongs to one goroutine, the other
// methods to any.
type Store struct {
	o Options
	// files are those read before, by path.
	files   map[string]file
	uploads *uploads

	mu         sync.Mutex // Look writes it, others read it
	candidates []certs.Candidate
}

// file is one that was read before, with the last content that was good.
type file struct {
	info os.FileInfo
	certs.Candidate
}

// New returns a Store that has not looked yet.
func New(o Options) *Store {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Store{o: o, files: map[string]file{}, uploads: newUploads(o)}
}

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
	uploads, errUploads := s.uploads.look(ctx)
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

// Put makes a certificate known to all replicas.
func (s *Store) Put(ctx context.Context, name, pem string) error {
	return s.uploads.put(ctx, name, pem)
}

// Delete makes all replicas forget an upload.
func (s *Store) Delete(ctx context.Context, name string) error { return s.uploads.remove(ctx, name) }
