package pathtest_test

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"github.com/wagglehq/waggle/pkg/pathtest"
)

// TestRequest: what is asked for arrives as it is written, by HTTP/1.1 and HTTP/2.
func TestRequest(t *testing.T) {
	for _, h2 := range []bool{false, true} {
		var asked string
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { asked = r.Proto + " " + r.RequestURI }))
		server.EnableHTTP2 = h2
		server.StartTLS()
		t.Cleanup(server.Close)
		for _, path := range slices.Concat(pathtest.Spellings(), pathtest.Harmless()) {
			req, err := pathtest.Request(t.Context(), server.URL, path)
			if err != nil {
				t.Fatal(err)
			}
			res, err := server.Client().Transport.RoundTrip(req)
			if err != nil {
				t.Fatalf("%s: %v", path, err)
			}
			_ = res.Body.Close()
			if want := res.Proto + " " + path; asked != want {
				t.Errorf("%q arrives, want %q", asked, want)
			}
		}
	}
}

// TestRequestThatCannotBeMade: nobody tests another path than he believes.
func TestRequestThatCannotBeMade(t *testing.T) {
	for _, path := range []string{`//\admin`, "//%zz"} {
		if req, err := pathtest.Request(t.Context(), "https://example.com", path); err == nil {
			t.Errorf("%s is sent as %s", path, req.URL.RequestURI())
		}
	}
}
