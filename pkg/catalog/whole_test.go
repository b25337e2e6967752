package catalog_test

import (
	"testing"

	"github.com/wagglehq/waggle/pkg/catalog"
)

// TestWhatIsMissingOfAService: the sentence stands behind the name of the service.
func TestWhatIsMissingOfAService(t *testing.T) {
	for _, c := range []struct {
		name, fits, whole string
		svc               catalog.Service
	}{
		{name: "nothing"},
		{
			name: "its own labels are too large", svc: catalog.Service{Oversize: 70000},
			fits: "its labels take 70,000 bytes, at most 65,536 are allowed", whole: "its labels take 70,000 bytes, at most 65,536 are allowed",
		},
		{
			name: "those of all together are", svc: catalog.Service{Oversize: 999},
			fits:  "its labels take 999 bytes, and those of all services together are more than the catalog holds",
			whole: "its labels take 999 bytes, and those of all services together are more than the catalog holds",
		},
		{
			name: "a text", svc: catalog.Service{Withheld: map[string]string{"com.df.users": "m"}},
			whole: "the text of com.df.users has not arrived",
		},
		{
			name: "several texts", svc: catalog.Service{Withheld: map[string]string{"com.df.users": "m", "com.df.serviceCert": "n"}},
			whole: "the texts of com.df.serviceCert, com.df.users have not arrived",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := text(c.svc.Fits()); got != c.fits {
				t.Errorf("fits: %q, want %q", got, c.fits)
			}
			if got := text(c.svc.Whole()); got != c.whole {
				t.Errorf("whole: %q, want %q", got, c.whole)
			}
		})
	}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
