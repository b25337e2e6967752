package drawing

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
)

func TestBoxesAndArrows(t *testing.T) {
	svg, err := SVG("a & b", "# why\nbox a 0 0 One | reads <things>\nbox b 1 0 Two\narrow a b tells\nline b a\n")
	if err != nil {
		t.Fatal(err)
	}
	count := map[string]int{}
	d := xml.NewDecoder(strings.NewReader(string(svg)))
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("%v in\n%s", err, svg)
		}
		if e, ok := token.(xml.StartElement); ok {
			count[e.Name.Local]++
		}
	}
	// A rectangle for the ground, and the tip of arrows.
	if count["rect"] != 3 || count["path"] != 3 || count["text"] != 4 {
		t.Errorf("there are %v in\n%s", count, svg)
	}
	for _, want := range []string{"a &amp; b", "reads &lt;things&gt;", `d="M192 54L248 54"`, `d="M248 54L192 54"`, "stroke-dasharray"} {
		if !strings.Contains(string(svg), want) {
			t.Errorf("there is no %s in\n%s", want, svg)
		}
	}
}

func TestALineThatIsNoneIsNamed(t *testing.T) {
	for text, want := range map[string]string{
		"circle a 0 0 One":             `"circle a 0 0 One": want box`,
		"box a 0 0 One\narrow a b":     `"arrow a b": there is no box b before it`,
		"box a 1.2.3 0 One":            "want numbers",
		"arrow a b\nbox a 0 0 A":       "there is no box a",
		"box a 0 One":                  "want box ID COLUMN ROW",
		"box a 0 0 One\nline a a x\n!": `"!"`,
	} {
		if _, err := SVG("", text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}
