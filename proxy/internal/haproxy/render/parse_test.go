package render

import (
	"fmt"
	"strings"
	"testing"
)

func TestParseReadsWhatWasWritten(t *testing.T) {
	f, _ := render(t, settings("/x"), "web servicePath=/,/shop\nweb port=80\nwww serviceDomain=*.acme.com\nwww port=81\n")
	for _, want := range []File{f, {Frame: f.Frame}} {
		got, err := Parse(want.Text())
		if err != nil {
			t.Fatal(err)
		}
		got.Maps = want.Maps
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("got  %v\nwant %v", got, want)
		}
	}
	bare := WithoutServers(f.Text())
	if strings.Contains(bare, "10.0.0") || len(strings.Split(f.Text(), "\n"))-len(strings.Split(bare, "\n")) != 4 {
		t.Errorf("without servers: %s", bare)
	}
	if _, err := Parse("global\n"); err == nil {
		t.Error("a foreign configuration is taken for ours")
	}
}
