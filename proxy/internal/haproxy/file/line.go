package file

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
)

// Flags say what a line means for others than HAProxy.
type Flags uint8

const (
	// Inherit: the line holds for a backend that is added while HAProxy runs, if it stands
	// in the defaults section from which the backend derives.
	Inherit Flags = 1 << iota
	// Local: the line tells where something is on this machine; replicas differ in it.
	Local
	// Secret: the line holds a password, which is shown to nobody.
	Secret
	// Private: the line holds what is usually a secret; it may be repeated to who wrote it.
	Private
	// Counts: the line makes a table of clients, which keeps a backend from being removed
	// while HAProxy runs.
	Counts
)

// MaxWords is how many words HAProxy takes on a line.
const MaxWords = 64

// Line is one line of a section.
type Line struct {
	Words []Word
	Flags Flags
	// List is the name of the file of addresses that the line looks into.
	List string
	// Label is the name of the label that brought the line, where there may be too many
	// words on it.
	Label string
	// as is the line as it stands where it was read, if that is not its words with a space
	// between each two.
	as string
	// hide is the first of the words that are secret.
	hide int
	// raw says that the line is somebody else's.
	raw bool
	// unfit is the fetch that may not stand in this line's context.
	unfit string
}

// New is a line of words.
func New(words ...Word) Line {
	l := Line{Words: words}
	l.classify()
	return l
}

// Brought is the line with the name of the label that brought it.
func (l Line) Brought(label string) Line {
	l.Label = label
	return l
}

// Raw is a line whose author knows HAProxy's language. Nothing is inherited of it: it may
// name what stands beside it.
func Raw(text string) Line {
	l := Read(text)
	l.Flags &^= Inherit
	l.raw = true
	return l
}

// Read is a line that somebody else has written.
func Read(text string) Line {
	text = strings.TrimRight(strings.TrimLeft(text, " \t"), "\r\n")
	l := New(words(text)...)
	if join(l.Words) != text {
		l.as = text
	}
	return l
}

// Within finds out whether what a line evaluates may stand in a context; Check tells.
func (l Line) Within(in Context, when When, formats ...Format) Line {
	l.unfit = when.unfit(in)
	for _, f := range formats {
		if f.in != 0 && f.in&in == 0 {
			l.unfit = f.String()
		}
	}
	return l
}

// String is the line as it is written, without what comes before it.
func (l Line) String() string {
	if l.as != "" {
		return l.as
	}
	return join(l.Words)
}

func (l Line) word(i int) string {
	if i < len(l.Words) {
		return l.Words[i].text
	}
	return ""
}

// classify is the one place that knows what HAProxy's lines mean for others.
func (l *Line) classify() {
	switch first, second := l.word(0), l.word(1); first {
	case "bind", "peer", serverWord:
		l.Flags = Local
	case "stats":
		switch second {
		case "socket":
			l.Flags = Local
		case "auth":
			l.Flags, l.hide = Secret, 2
		}
	case "user":
		if kind := l.word(2); kind == "password" || kind == "insecure-password" {
			l.Flags, l.hide = Secret, 3
		}
	case "stick-table":
		l.Flags = Counts
	case "balance", "hash-type", "http-reuse", "http-check", "timeout", "retries", "retry-on", "cookie", "errorfile", "option":
		// Compression is not among them: HAProxy 3.4 sets it up for backends of the file
		// alone. Names for conditions and tables cannot stand in a defaults section.
		l.Flags = Inherit
	case "no":
		if second == "option" {
			l.Flags = Inherit
		}
	case "http-request", "http-response", "http-after-response":
		if second != "" && !strings.HasPrefix(second, "track-sc") {
			l.Flags = Inherit
		}
		if (strings.HasSuffix(second, "-header") || strings.HasSuffix(second, "-header-value")) && len(l.Words) > 3 &&
			(SecretHeader(l.Words[2].Text()) || first == "http-request" && tellsTasks(l.Words[2].Text(), l.Words[3].Text())) {
			l.Flags, l.hide = l.Flags|Private, 3
		}
		l.List = listOf(l.Words)
	case "use_backend":
		if at := headerTexts(l.Words); at > 0 {
			l.Flags, l.hide = l.Flags|Private, at
		}
	}
}

// tellsTasks reports whether a header of a request has a text of its own, by which a task may
// know the proxy, and not only what HAProxy finds out.
func tellsTasks(name, text string) bool {
	return !strings.HasPrefix(strings.ToLower(name), "x-forwarded-") && !found.MatchString(text)
}

// found is a text that is one fetch and nothing else.
var found = regexp.MustCompile(`^%\[[^\]]*\]$`)

// headerTexts is the first of the words that say what a header must be, 0 if none does: a
// route may be for those alone who know a key.
func headerTexts(words []Word) int {
	for i, w := range words {
		if w.text == "--" && i > 3 && strings.HasPrefix(words[i-3].text, "req.fhdr(") && words[i-1].text == "str" {
			return i + 1
		}
	}
	return 0
}

// listOf is the name of the file of addresses that a condition names. Behind "--" stands
// text that means nothing.
func listOf(words []Word) string {
	for i, w := range words {
		if w.text == "--" {
			return ""
		}
		if w.text == "-f" && i+1 < len(words) && strings.HasSuffix(words[i+1].text, ListEnd) {
			return path.Base(words[i+1].text)
		}
	}
	return ""
}

// secretHeader are headers whose texts are usually secrets; labels may write them in quotes.
var secretHeader = regexp.MustCompile(`(?i)^["']?(.*authorization|.*cookie|.*token.*|.*secret.*|.*password.*|.*api-?key.*)["']?$`)

// SecretHeader reports whether a header of that name usually carries a secret.
func SecretHeader(name string) bool { return secretHeader.MatchString(name) }

// LineError says why HAProxy would not take a line, or not as it is meant.
type LineError struct {
	// Section is the line's section, Line its first words, Label what brought it, if that
	// is known.
	Section, Line, Label string
	// Want says what would be right.
	Want string
}

// Error names all of these.
func (e *LineError) Error() string {
	by := ""
	if e.Label != "" {
		by = e.Label + ": "
	}
	return fmt.Sprintf("%s%s: line %q: want %s", by, e.Section, e.Line, e.Want)
}

// check says what is wrong with a line.
func (l Line) check(section string) error {
	wrong := func(want string) error {
		return &LineError{section, join(l.Words[:min(3, len(l.Words))]), l.Label, want}
	}
	switch {
	case l.as == "" && slices.ContainsFunc(l.Words, func(w Word) bool { return w.wrong }):
		return wrong("words without quotes, control characters and what else means something to HAProxy")
	case len(l.Words) > MaxWords:
		return wrong(fmt.Sprintf("at most %d words, it has %d", MaxWords, len(l.Words)))
	case l.unfit != "":
		return wrong("nothing but what is known when the answer is there, " + l.unfit + " is not")
	}
	return nil
}

// Raw reports whether somebody else's text stands on the line as it is.
func (l Line) Raw() bool { return l.raw }

// ListEnd is how the names of files with addresses end, ScriptEnd those of scripts.
const (
	ListEnd   = ".acl"
	ScriptEnd = ".lua"
)

// serverWord begins the lines of servers.
const serverWord = "server"
