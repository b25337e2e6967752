package acme

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/wagglehq/waggle/proxy/internal/certs"
	"github.com/wagglehq/waggle/proxy/internal/certs/vault"
	"github.com/wagglehq/waggle/proxy/internal/wish/names"
)

// foreign is a certificate of another program's.
type foreign struct {
	chain, key string
	certs.Certificate
}

// Import reads certificates of another program: Traefik's acme.json, or a folder of certbot with
// live in it. Each is taken over for those of its names that are wanted and have none yet. One that
// cannot be read is an error and keeps none of the others from being taken.
func (r *Runner) Import(path string) error {
	if path == "" {
		return nil
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	read := fromTraefik
	if info.IsDir() {
		read = fromCertbot
	}
	list, err := read(path)
	r.foreign = map[string]foreign{}
	for _, f := range list {
		for _, name := range f.Names {
			// Of several the one that is good for longest.
			if had, ok := r.foreign[name]; !ok || f.NotAfter.After(had.NotAfter) {
				r.foreign[name] = f
			}
		}
	}
	r.o.Log.Info("certificates of another program", "path", path, "certificates", len(list), "hosts", len(r.foreign))
	return err
}

// parseForeign reads a chain and its key.
func parseForeign(chain, key []byte) (foreign, error) {
	c, err := certs.Parse(slices.Concat(chain, []byte("\n"), key))
	return foreign{string(chain), string(key), c}, err
}

// traefik is a resolver in acme.json, and the whole file of Traefik 1.
type traefik struct {
	// Certificates are read one by one, so that what is wrong with one is no matter for the others.
	Certificates []json.RawMessage `json:"certificates"`
}

// fromTraefik reads acme.json, in which each resolver has its certificates, as PEM in base64.
func fromTraefik(path string) ([]foreign, error) {
	content, err := readFile(path, mostTraefik)
	if err != nil {
		return nil, err
	}
	resolvers := map[string]json.RawMessage{}
	var single traefik
	if json.Unmarshal(content, &single) == nil && len(single.Certificates) > 0 {
		resolvers["acme.json"] = content
	} else if json.Unmarshal(content, &resolvers) != nil {
		return nil, errors.New("it is no acme.json of Traefik")
	}
	var (
		out  []foreign
		errs []error
	)
	for _, name := range slices.Sorted(maps.Keys(resolvers)) {
		var resolver traefik
		if json.Unmarshal(resolvers[name], &resolver) != nil {
			errs = append(errs, fmt.Errorf("%s: it is no resolver of Traefik's", name))
			continue
		}
		for _, c := range resolver.Certificates {
			f, err := ofTraefik(c)
			if err != nil {
				errs = append(errs, err)
				continue
			}
			out = append(out, f)
		}
	}
	return out, errors.Join(errs...)
}

func ofTraefik(text json.RawMessage) (foreign, error) {
	var c struct {
		Domain struct {
			Main string `json:"main"`
		} `json:"domain"`
		Certificate string `json:"certificate"`
		Key         string `json:"key"`
	}
	if json.Unmarshal(text, &c) != nil {
		return foreign{}, fmt.Errorf("%q: it is no certificate of Traefik's", c.Domain.Main)
	}
	chain, errChain := base64.StdEncoding.DecodeString(c.Certificate)
	key, errKey := base64.StdEncoding.DecodeString(c.Key)
	f, err := parseForeign(chain, key)
	if err = errors.Join(errChain, errKey, err); err != nil {
		return f, fmt.Errorf("%q: %w", c.Domain.Main, err)
	}
	return f, nil
}

// mostTraefik is the longest acme.json that is read.
const mostTraefik = 64 << 20

// readFile reads a file. What is none, such as a device or a pipe to which a link leads, has no end,
// and is not read at all.
func readFile(path string, most int64) ([]byte, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s: it is no file", filepath.Base(path))
	case info.Size() > most:
		return nil, fmt.Errorf("%s: it has %d bytes, and %d are the most", filepath.Base(path), info.Size(), most)
	}
	return os.ReadFile(path)
}

// fromCertbot reads live/NAME/fullchain.pem and privkey.pem.
func fromCertbot(path string) ([]foreign, error) {
	if live := filepath.Join(path, "live"); isFolder(live) {
		path = live
	}
	list, err := os.ReadDir(path)
	if err != nil {
		return nil, err
	}
	var (
		out  []foreign
		errs []error
	)
	for _, entry := range list {
		folder := filepath.Join(path, entry.Name())
		if !isFolder(folder) {
			continue
		}
		chain, errChain := readFile(filepath.Join(folder, "fullchain.pem"), certs.MaxBytes)
		key, errKey := readFile(filepath.Join(folder, "privkey.pem"), certs.MaxBytes)
		err := errors.Join(errChain, errKey)
		if err == nil {
			var f foreign
			if f, err = parseForeign(chain, key); err == nil {
				out = append(out, f)
				continue
			}
		}
		errs = append(errs, fmt.Errorf("%s: %w", entry.Name(), err))
	}
	return out, errors.Join(errs...)
}

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// takeable are the names of orders for which a certificate of another program's is good.
func (r *Runner) takeable(orders []names.Name, records map[string]Record, now time.Time) []names.Name {
	var out []names.Name
	for _, n := range orders {
		if f, ok := r.foreign[n.Host]; ok && !n.Staging && records[n.Host].Chain == "" && now.Before(f.NotAfter) {
			out = append(out, n)
		}
	}
	return out
}

// takeOver makes a certificate of another program's that of a host which has none.
func (r *Runner) takeOver(ctx context.Context, host string) {
	p := &page{Record: Record{Host: host}, vault: r.o.Vault}
	if err := p.read(ctx); err != nil || p.Chain != "" {
		return
	}
	f := r.foreign[host]
	err := p.keep(f.chain, f.key, "", time.Time{})
	if err == nil {
		err = p.write(ctx)
	}
	switch {
	case err == nil:
		r.o.Log.Info("a certificate was taken over", "host", host, "until", p.Until)
	case ctx.Err() == nil && !errors.Is(err, vault.ErrConflict):
		r.o.Log.Warn("a certificate could not be taken over", "host", host, "error", err)
	}
}
