package render

import (
	"strings"
	"testing"

	"github.com/wagglehq/waggle/proxy/internal/haproxy/file"
)

func TestParseReadsWhatWasWritten(t *testing.T) {
	f, _ := render(t, settings("/x"), "web servicePath=/,/shop\nweb port=80\nwww serviceDomain=*.acme.com\nwww port=81\n")
	for _, want := range []file.File{f, {Frame: f.Frame}} {
		got, err := file.Parse(want.Text(), "/x")
		if err != nil {
			t.Fatal(err)
		}
		got.Maps, got.Lists = want.Maps, want.Lists
		if got.Text() != want.Text() || got.Hash() != want.Hash() || len(got.Backends) != len(want.Backends) {
			t.Errorf("got  %v\nwant %v", got, want)
		}
	}
	bare := file.WithoutServers(f.Text())
	if strings.Contains(bare, "10.0.0") || len(strings.Split(f.Text(), "\n"))-len(strings.Split(bare, "\n")) != 4 {
		t.Errorf("without servers: %s", bare)
	}
	if _, err := file.Parse("global\n", "/x"); err == nil {
		t.Error("a foreign configuration is taken for ours")
	}
}
