// Package prose finds what is wrong with the text of pages: links that lead nowhere, words of
// this house that nobody searches for, and sentences that are too long to follow.
package prose

import (
	"fmt"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/parser"
	"github.com/yuin/goldmark/text"
)

// Word is one that pages do not use, and what an operator would write.
type Word struct {
	is     *regexp.Regexp
	Better string
}

// Words are the words that are not used.
func Words() []Word {
	out := []Word{}
	for _, w := range [][2]string{
		{`spoken to (?:by|over)`, "connected to over"},
		{`somebody has been at it`, "it was changed by hand"},
		{`nobody's business`, "sensitive data"},
		{`[Gg]reatest (?:number|length)`, "maximum"},
		{`[Ll]east (?:number|level)`, "minimum"},
		{`oldest version of TLS`, "minimum TLS version"},
		{`[Hh]arms? nobody`, "affects no other service"},
		{`[Hh]eaders taken from`, "headers removed from"},
		{`[Oo]lder (?:word|form) for`, "deprecated alias of"},
		{`[Hh]ow often is looked`, "the interval"},
		{`\bis said by\b`, "is set by"},
		{`\bneighbours?\b`, "dependency"},
		{`\bby and by\b`, "over time"},
		{`\bthe which\b`, "which"},
		{`\bmake (?:it|them) equal to\b`, "reconcile"},
	} {
		out = append(out, Word{regexp.MustCompile(w[0]), w[1]})
	}
	return out
}

// mostWords is how long a sentence may be.
const mostWords = 75

// Finding is one thing that is wrong.
type Finding struct {
	Page, Text string
}

func (f Finding) String() string { return f.Page + ": " + f.Text }

// Check judges all pages, by their paths in the repository. Exists tells whether there is a
// file or folder.
func Check(pages map[string]string, exists func(path string) bool) []Finding {
	parsed := map[string]page{}
	for name, content := range pages {
		parsed[name] = read(content)
	}
	var out []Finding
	for name, p := range parsed {
		say := func(format string, args ...any) { out = append(out, Finding{name, fmt.Sprintf(format, args...)}) }
		for _, link := range p.links {
			if wrong := dead(name, link, parsed, exists); wrong != "" {
				say("the link to %s: %s", link, wrong)
			}
		}
		for _, prose := range p.prose {
			for _, w := range Words() {
				if m := w.is.FindString(prose); m != "" {
					say("%q: want plain words, such as %q", m, w.Better)
				}
			}
			for sentence := range strings.SplitSeq(prose, ". ") {
				if words := strings.Fields(sentence); len(words) > mostWords {
					say("a sentence of %d words, which begins %q: want at most %d", len(words), strings.Join(words[:6], " "), mostWords)
				}
			}
		}
	}
	slices.SortFunc(out, func(a, b Finding) int { return strings.Compare(a.String(), b.String()) })
	return slices.Compact(out)
}

// dead returns why a link leads nowhere, empty if it does not.
func dead(from, link string, pages map[string]page, exists func(string) bool) string {
	u, err := url.Parse(link)
	if err != nil {
		return "it is no address"
	}
	if u.Scheme != "" || u.Host != "" {
		if u.Scheme != "https" || u.Host == "" {
			return "want https and a host"
		}
		return ""
	}
	to := from
	if u.Path != "" {
		to = path.Join(path.Dir(from), u.Path)
	}
	if !exists(to) {
		return "there is no " + to
	}
	if u.Fragment == "" {
		return ""
	}
	if p, ok := pages[to]; !ok || !slices.Contains(p.anchors, u.Fragment) {
		return fmt.Sprintf("%s has no heading #%s", to, u.Fragment)
	}
	return ""
}

// page is what of a page is judged.
type page struct {
	links, anchors, prose []string
}

func read(content string) page {
	source := []byte(content)
	root := goldmark.New(goldmark.WithExtensions(extension.GFM), goldmark.WithParserOptions(parser.WithAutoHeadingID())).Parser().Parse(text.NewReader(source))
	var p page
	seen := map[string]int{}
	_ = ast.Walk(root, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if !entering {
			return ast.WalkContinue, nil
		}
		switch n := n.(type) {
		case *ast.Link:
			p.links = append(p.links, string(n.Destination))
		case *ast.Image:
			p.links = append(p.links, string(n.Destination))
		case *ast.Heading:
			anchor := Anchor(words(n, source, true))
			if again := seen[anchor]; again > 0 {
				p.anchors = append(p.anchors, fmt.Sprintf("%s-%d", anchor, again))
			} else {
				p.anchors = append(p.anchors, anchor)
			}
			seen[anchor]++
		}
		switch n.Kind().String() {
		case "Heading", "Paragraph", "TextBlock", "TableCell":
			p.prose = append(p.prose, words(n, source, false))
		}
		return ast.WalkContinue, nil
	}) // no step fails
	return p
}

// words are the text below a node, with code or without.
func words(n ast.Node, source []byte, code bool) string {
	var b strings.Builder
	_ = ast.Walk(n, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if n.Kind() == ast.KindCodeSpan && !code {
			return ast.WalkSkipChildren, nil
		}
		if t, ok := n.(*ast.Text); ok && entering {
			b.Write(t.Segment.Value(source))
			if t.SoftLineBreak() || t.HardLineBreak() {
				b.WriteByte(' ')
			}
		}
		return ast.WalkContinue, nil
	}) // no step fails
	return b.String()
}

// Anchor is how GitHub calls a heading in a link to it.
func Anchor(heading string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(strings.TrimSpace(heading)) {
		switch {
		case r == ' ':
			b.WriteByte('-')
		case r == '-' || r == '_' || r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r > 127:
			b.WriteRune(r)
		}
	}
	return b.String()
}
