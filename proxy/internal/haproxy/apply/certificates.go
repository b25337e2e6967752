package apply

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/wagglehq/waggle/pkg/atomicfile"
	"github.com/wagglehq/waggle/proxy/internal/certs"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/file"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/plan"
)

// keyMode is that of files with a private key, which HAProxy reads as one of its group.
const keyMode = 0o640

// certificates carries out the changes of certificates. A failure leaves what was served
// before.
func (h *HAProxy) certificates(ctx context.Context, changes []plan.CertificateChange) error {
	list := h.path(file.CertList)
	for _, c := range changes {
		path := c.Path(h.o.Dir)
		var err error
		switch c.Verb {
		case "add":
			err = h.o.Worker.AddCert(ctx, list, path, c.PEM, c.Only...)
		case "set":
			err = h.o.Worker.ReplaceCert(ctx, path, c.PEM)
		case "list":
			err = h.o.Worker.RelistCert(ctx, list, path, c.Only...)
		case "del":
			err = h.o.Worker.RemoveCert(ctx, list, path)
		}
		if err != nil {
			return fmt.Errorf("certificate %s: %w", c.File, err)
		}
	}
	return nil
}

// writeCertificates makes the files equal to what is served, so that HAProxy can start
// with them. The list comes last, because it names the others.
func (h *HAProxy) writeCertificates(list []file.Certificate) error {
	if len(list) == 0 {
		return nil // the configuration that names them may still be the one in force
	}
	for _, c := range list {
		if _, err := atomicfile.Write(c.Path(h.o.Dir), []byte(c.PEM), keyMode); err != nil {
			return err
		}
	}
	_, err := atomicfile.Write(h.path(file.CertList), []byte(file.List(list, h.o.Dir)), 0o640)
	return err
}

// readCertificateFiles are the present contents of what writeCertificates writes, nil where
// there is no such file.
func (h *HAProxy) readCertificateFiles(list []file.Certificate) (map[string][]byte, error) {
	if len(list) == 0 {
		return nil, nil
	}
	out := map[string][]byte{h.path(file.CertList): nil}
	for _, c := range list {
		out[c.Path(h.o.Dir)] = nil
	}
	for path := range out {
		content, err := os.ReadFile(path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		out[path] = content
	}
	return out, nil
}

// restoreCertificateFiles brings back what readCertificateFiles found, the list first.
func (h *HAProxy) restoreCertificateFiles(before map[string][]byte) error {
	restore := func(path string, mode fs.FileMode) error {
		if content := before[path]; content != nil {
			_, err := atomicfile.Write(path, content, mode)
			return err
		}
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	if len(before) == 0 {
		return nil
	}
	errs := []error{restore(h.path(file.CertList), 0o640)}
	for path := range before {
		if path != h.path(file.CertList) {
			errs = append(errs, restore(path, keyMode))
		}
	}
	return errors.Join(errs...)
}

// sweepCertificates removes the files that nothing names any more: they hold keys.
func (h *HAProxy) sweepCertificates(list []file.Certificate) {
	wanted := map[string]bool{}
	for _, c := range list {
		wanted[c.File] = true
	}
	dir := h.path(file.CertDir)
	files, err := os.ReadDir(dir)
	if err != nil {
		return // there is none
	}
	for _, f := range files {
		if wanted[f.Name()] {
			continue
		}
		if err := os.Remove(filepath.Join(dir, f.Name())); err != nil {
			h.o.Log.Warn("the file of a certificate that is not served any more stays", "file", f.Name(), "error", err)
		}
	}
	if len(list) == 0 {
		_ = os.Remove(h.path(file.CertList)) // nothing names it; it may never have been there
	}
}

// readCertificates adds to a configuration the certificates that run, with the content
// of their files where that is what runs.
func (h *HAProxy) readCertificates(ctx context.Context, f *file.File) error {
	list := h.path(file.CertList)
	if !f.Has(list) {
		return nil
	}
	text, err := h.o.Worker.ShowCertList(ctx, list)
	if err != nil {
		return err
	}
	f.Certificates = file.ParseList(text, h.o.Dir)
	paths := make([]string, len(f.Certificates))
	for i, c := range f.Certificates {
		paths[i] = c.Path(h.o.Dir)
	}
	running, err := h.o.Worker.ShowFingerprints(ctx, paths)
	if err != nil {
		return err
	}
	for i, path := range paths {
		content, err := os.ReadFile(path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		written := file.Certificate{PEM: string(content)}
		sum, told := running[path]
		// A file that is not what runs counts for nothing, so that it is set anew. Of one
		// that no command can change HAProxy may have more to tell than it can.
		if c, err := certs.Parse(content); err == nil && (c.Fingerprint == sum || !told && written.Large()) {
			f.Certificates[i].PEM = written.PEM
		}
	}
	return nil
}

// Certificates returns the PEM texts that are served.
func (h *HAProxy) Certificates() map[string]bool {
	out := map[string]bool{}
	for _, c := range h.applied.Certificates {
		out[c.PEM] = true
	}
	return out
}

// CheckCertificates lets HAProxy judge certificates together, in a configuration of
// their own. The error is a *CheckError if it refuses one of them. It may be called from
// any goroutine.
func (h *HAProxy) CheckCertificates(ctx context.Context, pems ...string) (err error) {
	if err := os.MkdirAll(h.o.Dir, 0o755); err != nil {
		return err
	}
	dir, err := os.MkdirTemp(h.o.Dir, ".check")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	var list strings.Builder
	for i, pem := range pems {
		path := filepath.Join(dir, fmt.Sprintf("%d.pem", i))
		if err := os.WriteFile(path, []byte(pem), keyMode); err != nil {
			return err
		}
		list.WriteString(path + "\n")
	}
	listPath, path := filepath.Join(dir, "list"), filepath.Join(dir, ConfigName)
	text := "defaults\n  mode http\n  timeout client 1s\nfrontend f\n  bind 127.0.0.1:1 ssl crt-list '" + listPath + "'\n"
	if err := errors.Join(os.WriteFile(listPath, []byte(list.String()), keyMode), os.WriteFile(path, []byte(text), keyMode)); err != nil {
		return err
	}
	err = h.judge(ctx, path)
	var refused *CheckError
	if errors.As(err, &refused) {
		// Where it lay for a moment is nobody's business, and another place each time.
		refused.Output = strings.ReplaceAll(refused.Output, dir+"/", "")
	}
	return err
}

// quicFeature stands in what HAProxy says of its features. One that only imitates a TLS
// library with QUIC opens no such ports by itself.
const (
	quicFeature = "+QUIC"
	imitated    = "+QUIC_OPENSSL_COMPAT"
)

// HasQUIC reports whether a HAProxy can speak HTTP/3.
func HasQUIC(ctx context.Context, binary string) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	out, err := exec.CommandContext(ctx, binary, "-vv").Output()
	if err != nil {
		return false, err
	}
	features := strings.Fields(string(out))
	return slices.Contains(features, quicFeature) && !slices.Contains(features, imitated), nil
}
