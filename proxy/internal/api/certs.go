package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/wagglehq/waggle/pkg/app"
	"github.com/wagglehq/waggle/pkg/audit"
	"github.com/wagglehq/waggle/proxy/internal/certs"
	"github.com/wagglehq/waggle/proxy/internal/certs/store"
	"github.com/wagglehq/waggle/proxy/internal/controller"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/apply"
)

// Certs is the interface to certificates.
type Certs struct {
	Token app.Secret
	// View returns what became of all certificates, nil before the first pass.
	View func() *controller.Certificates
	// Put and Delete change the uploads that all replicas share.
	Put    func(ctx context.Context, name, pem string) error
	Delete func(ctx context.Context, name string) error
	// Check lets HAProxy judge a certificate.
	Check func(ctx context.Context, pems ...string) error
	// OwnList says that the operator has a list of certificates, beside which nothing
	// counts.
	OwnList bool
	// Note takes who changed what.
	Note func(audit.Entry)
}

// Certificate is what is told of a certificate. Its key never is.
type Certificate struct {
	Name     string       `json:"name"`
	Source   certs.Source `json:"source"`
	Service  string       `json:"service,omitempty"`
	Subject  string       `json:"subject,omitempty"`
	Names    []string     `json:"names,omitempty"`
	NotAfter *time.Time   `json:"notAfter,omitempty"`
	// Served says that clients get it, Default that those do whose name no certificate has.
	Served  bool   `json:"served"`
	Default bool   `json:"default,omitempty"`
	Reason  string `json:"reason,omitempty"`
	Warning string `json:"warning,omitempty"`
}

// uploadPatience is how long an answer waits until an upload is in force.
const uploadPatience = 10 * time.Second

// Mount adds the paths.
func (c Certs) Mount(r chi.Router) {
	trusted := r.With(app.RequireToken(c.Token))
	r.Get("/v1/certs", c.List)
	trusted.Put("/v1/certs/{name}", func(w http.ResponseWriter, req *http.Request) { c.Upload(w, req, chi.URLParam(req, "name")) })
	trusted.Delete("/v1/certs/{name}", c.remove)
}

// List answers with what became of all certificates.
func (c Certs) List(w http.ResponseWriter, _ *http.Request) {
	v := c.View()
	if v == nil {
		app.WriteError(w, http.StatusServiceUnavailable, errNothing)
		return
	}
	out := []Certificate{}
	for _, e := range v.Entries {
		out = append(out, certificate(e))
	}
	app.WriteJSON(w, http.StatusOK, map[string]any{"applied": v.Applied, "certificates": out})
}

func certificate(e certs.Entry) Certificate {
	out := Certificate{
		Name: e.Name, Source: e.Source, Service: e.Service, Subject: e.Subject, Names: e.Names,
		Served: e.Served(), Default: e.Default, Reason: e.Reason, Warning: e.Warning,
	}
	if e.Only != nil {
		out.Names = e.Only
	}
	if !e.NotAfter.IsZero() {
		out.NotAfter = &e.NotAfter
	}
	return out
}

// errOwnList says that uploads would have no effect.
var errOwnList = errors.New("crt-list-path names the certificates, so an upload would have no effect")

// Upload takes the certificate of a name from the body, and answers when it is in force.
func (c Certs) Upload(w http.ResponseWriter, req *http.Request, name string) {
	if c.OwnList {
		app.WriteError(w, http.StatusConflict, errOwnList)
		return
	}
	if err := certs.CheckName(name); err != nil {
		app.WriteError(w, http.StatusBadRequest, err)
		return
	}
	content, err := io.ReadAll(http.MaxBytesReader(w, req.Body, certs.MaxBytes))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		app.WriteError(w, http.StatusRequestEntityTooLarge, fmt.Errorf("%s: it has more than %d bytes", name, certs.MaxBytes))
		return
	case err != nil:
		app.WriteError(w, http.StatusBadRequest, errors.New("the body cannot be read"))
		return
	}
	parsed, err := certs.Parse(content)
	if err == nil {
		err = parsed.Expired(time.Now())
	}
	if err == nil {
		err = c.judge(req.Context(), parsed.PEM)
	}
	if err != nil {
		app.WriteError(w, http.StatusUnprocessableEntity, fmt.Errorf("%s: %w", name, err))
		return
	}
	switch err := c.Put(req.Context(), name, parsed.PEM); {
	case errors.Is(err, store.ErrConflict):
		app.WriteError(w, http.StatusConflict, fmt.Errorf("%s: %w", name, err))
		return
	case err != nil:
		app.WriteError(w, http.StatusServiceUnavailable, err)
		return
	}
	note := audit.Asked(req, audit.CertificatePut, name)
	note.Fingerprint = parsed.Fingerprint
	c.Note(note)
	entry, applied := c.await(req.Context(), func(v *controller.Certificates) (certs.Entry, bool) {
		i := slices.IndexFunc(v.Entries, func(e certs.Entry) bool {
			return e.Source == certs.Upload && e.Name == name && e.PEM == parsed.PEM
		})
		if i < 0 {
			return certs.Entry{}, false
		}
		return v.Entries[i], v.Applied
	})
	if !applied {
		// Every replica has it, and this one serves it as soon as it can.
		app.WriteJSON(w, http.StatusAccepted, map[string]string{"status": "OK", "message": "uploaded, but not in force here yet: see /v1/certs"})
		return
	}
	if !entry.Served() {
		app.WriteError(w, http.StatusUnprocessableEntity, fmt.Errorf("%s: %s", name, entry.Reason))
		return
	}
	app.WriteJSON(w, http.StatusOK, struct {
		Status string `json:"status"`
		Certificate
	}{"OK", certificate(entry)})
}

// judge returns HAProxy's words if it refuses a certificate. If it cannot be asked, the
// certificate is judged again before it is served.
func (c Certs) judge(ctx context.Context, pem string) error {
	var refused *apply.CheckError
	if err := c.Check(ctx, pem); errors.As(err, &refused) {
		return errors.New(controller.Words(refused))
	}
	return nil
}

func (c Certs) remove(w http.ResponseWriter, req *http.Request) {
	name := chi.URLParam(req, "name")
	note := audit.Asked(req, audit.CertificateDeleted, name)
	note.Fingerprint = c.fingerprint(name)
	err := c.Delete(req.Context(), name)
	switch {
	case errors.Is(err, store.ErrNotFound):
		app.WriteError(w, http.StatusNotFound, c.elsewhere(name, err))
		return
	case err != nil:
		app.WriteError(w, http.StatusServiceUnavailable, err)
		return
	}
	c.Note(note)
	_, applied := c.await(req.Context(), func(v *controller.Certificates) (certs.Entry, bool) {
		there := slices.ContainsFunc(v.Entries, func(e certs.Entry) bool { return e.Source == certs.Upload && e.Name == name })
		return certs.Entry{}, !there && v.Applied
	})
	app.WriteJSON(w, map[bool]int{true: http.StatusOK, false: http.StatusAccepted}[applied], map[string]string{"status": "OK", "name": name})
}

// fingerprint is that of an upload, empty if it is not known here.
func (c Certs) fingerprint(name string) string {
	if v := c.View(); v != nil {
		for _, e := range v.Entries {
			if e.Source == certs.Upload && e.Name == name {
				return e.Fingerprint
			}
		}
	}
	return ""
}

// elsewhere adds where a certificate comes from that was not uploaded.
func (c Certs) elsewhere(name string, err error) error {
	var sources []string
	if v := c.View(); v != nil {
		for _, e := range v.Entries {
			if e.Name == name && e.Source != certs.Upload {
				sources = append(sources, strings.TrimSpace(string(e.Source)+" "+e.Service))
			}
		}
	}
	if len(sources) == 0 {
		return fmt.Errorf("%s: %w", cmp.Or(name, "(no name)"), err)
	}
	return fmt.Errorf("%s: %w; it comes from a %s, and goes away with that", name, err, strings.Join(sources, ", "))
}

// await waits until a view is as wanted, for as long as the client and our patience last.
func (c Certs) await(ctx context.Context, wanted func(*controller.Certificates) (certs.Entry, bool)) (certs.Entry, bool) {
	ctx, cancel := context.WithTimeout(ctx, uploadPatience)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if v := c.View(); v != nil {
			if e, ok := wanted(v); ok {
				return e, true
			}
		}
		select {
		case <-ctx.Done():
			return certs.Entry{}, false
		case <-tick.C:
		}
	}
}
