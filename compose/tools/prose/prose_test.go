package prose

import (
	"slices"
	"strings"
	"testing"
)

func TestWhatIsWrongIsFound(t *testing.T) {
	long := strings.Repeat("word ", 80) + "end."
	pages := map[string]string{
		"README.md": "# Top\n\n## A part, `with code`\n\nText [a](docs/a.md#one), ![p](p.svg), [self](#a-part-with-code), [b](#a-part-with-code-1), [w](https://example.com/x).\n\n## A part, with code\n",
		"docs/a.md": "# One\n\n[gone](b.md) [up](../README.md#nowhere) [plain](http://example.com)\n\n" +
			"| x |\n| --- |\n| Older word for `y`. |\n\n- A list, in which a server is spoken to by TLS.\n\n" + long + "\n\n```sh\nOlder word for code is code\n```\n\nSo is `Greatest number`.\n",
	}
	var got []string
	for _, f := range Check(pages, func(path string) bool { return pages[path] != "" || path == "p.svg" }) {
		got = append(got, f.String())
	}
	want := []string{
		`docs/a.md: "Older word for": want plain words, such as "deprecated alias of"`,
		`docs/a.md: "spoken to by": want plain words, such as "connected to over"`,
		`docs/a.md: a sentence of 81 words, which begins "word word word word word word": want at most 75`,
		`docs/a.md: the link to ../README.md#nowhere: README.md has no heading #nowhere`,
		`docs/a.md: the link to b.md: there is no docs/b.md`,
		`docs/a.md: the link to http://example.com: want https and a host`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("found\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
