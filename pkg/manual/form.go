package manual

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/wagglehq/waggle/pkg/app"
	"github.com/wagglehq/waggle/pkg/catalog"
)

// Writer is where what is wanted by hand is written.
type Writer interface {
	Put(ctx context.Context, svc catalog.Service) error
	Remove(ctx context.Context, name string) error
}

// Form reads the parameters of a request, from the query and from a body of a form, of at most
// app.MaxBody bytes. With an error comes the HTTP status to answer with.
func Form(w http.ResponseWriter, r *http.Request) (form url.Values, status int, err error) {
	r.Body = http.MaxBytesReader(w, r.Body, app.MaxBody)
	err = r.ParseForm()
	switch {
	case err == nil:
		return r.Form, http.StatusOK, nil
	case errors.As(err, new(*http.MaxBytesError)):
		status = http.StatusRequestEntityTooLarge
	default:
		status = http.StatusBadRequest
	}
	return nil, status, fmt.Errorf("the parameters cannot be read: %w", err)
}
