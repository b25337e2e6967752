package file

import "strings"

// Context is where a rule stands, as a set of bits.
type Context uint8

// The contexts: what is done with requests, with the answers of tasks, and with all
// answers, HAProxy's own too.
const (
	Request Context = 1 << iota
	Response
	AfterResponse

	everywhere = Request | Response | AfterResponse
)

// String is the word with which the rules of a context begin.
func (c Context) String() string {
	switch c {
	case Request:
		return "http-request"
	case Response:
		return "http-response"
	case AfterResponse:
		return "http-after-response"
	}
	return "any rule"
}

// Fetch is an expression that HAProxy evaluates, and where it may stand: what reads the
// request's own headers finds nothing when the answer is there.
type Fetch struct {
	expression string
	in         Context
}

// Always is a fetch of the connection, of a variable, or of what HAProxy keeps.
func Always(expression string) Fetch { return Fetch{expression, everywhere} }

// OfRequest is a fetch that reads the request, OfResponse one that reads the answer.
func OfRequest(expression string) Fetch { return Fetch{expression, Request} }

// OfResponse is told at OfRequest.
func OfResponse(expression string) Fetch { return Fetch{expression, Response | AfterResponse} }

// Variable is the fetch of a variable of a transaction, which lives as long as the request
// and its answer.
func Variable(name string) Fetch { return Always("var(txn." + name + ")") }

// Through is a fetch whose result a converter changes.
func (f Fetch) Through(converter string) Fetch {
	f.expression += "," + converter
	return f
}

// Labelled is a fetch that the labels of services may name.
func Labelled(expression string) Fetch {
	if strings.HasPrefix(expression, "req.") {
		return OfRequest(expression)
	}
	return Always(expression)
}

// Format is the value of a header or the like: one word, and where it may stand.
type Format struct {
	Word
	in Context
}

// Text and expression are what a format is made of, in any order.
type piece struct {
	text  string
	fetch *Fetch
}

// Formatter makes a format of texts, in which a percent sign means itself, and fetches.
type Formatter struct{ pieces []piece }

// Text adds a text.
func (f *Formatter) Text(text string) { f.pieces = append(f.pieces, piece{text: text}) }

// Fetch adds what HAProxy puts in its place.
func (f *Formatter) Fetch(fetch Fetch) { f.pieces = append(f.pieces, piece{fetch: &fetch}) }

// Format is what was added, as one word.
func (f *Formatter) Format() Format {
	var b strings.Builder
	in := everywhere
	for _, p := range f.pieces {
		if p.fetch != nil {
			b.WriteString("%[" + p.fetch.expression + "]")
			in &= p.fetch.in
			continue
		}
		b.WriteString(strings.ReplaceAll(p.text, "%", "%%"))
	}
	return Format{Q(b.String()), in}
}

// Test is one thing that must hold, or must not.
type Test struct {
	fetch Fetch
	words []Word
	not   bool
}

// Is is a test of what a fetch finds; the words say how it is compared, and with what.
func Is(fetch Fetch, words ...Word) Test { return Test{fetch: fetch, words: words} }

// Found holds if a fetch finds anything.
func Found(fetch Fetch) Test { return Is(fetch, W("-m"), W("found")) }

// Not is the opposite of a test.
func Not(t Test) Test {
	t.not = !t.not
	return t
}

// OneOf has a test compare with texts. "--" keeps one that begins with a dash from being
// read as a flag.
func OneOf(fetch Fetch, how []Word, texts ...string) Test {
	out := append(append([]Word{}, how...), W("--"))
	for _, t := range texts {
		out = append(out, Q(t))
	}
	return Is(fetch, out...)
}

// Words are those of a test, an anonymous ACL.
func (t Test) Words() []Word {
	open := "{"
	if t.not {
		open = "!{"
	}
	out := append(make([]Word, 0, len(t.words)+3), W(open), W(t.fetch.expression))
	return append(append(out, t.words...), W("}"))
}

// When is the condition of a line: none, if or unless all tests hold, or one of them.
type When struct {
	word  string
	tests []Test
	any   bool
}

// If is the condition that all tests hold.
func If(tests ...Test) When { return When{word: "if", tests: tests} }

// IfAny is the condition that one of the tests holds.
func IfAny(tests ...Test) When { return When{word: "if", tests: tests, any: true} }

// Unless is the condition that not all tests hold.
func Unless(tests ...Test) When { return When{word: "unless", tests: tests} }

// UnlessAny is the condition that none of the tests holds.
func UnlessAny(tests ...Test) When { return When{word: "unless", tests: tests, any: true} }

// Words are those of a condition, as they stand at the end of a line.
func (w When) Words() []Word {
	if w.word == "" {
		return nil
	}
	out := []Word{W(w.word)}
	for i, t := range w.tests {
		if w.any && i > 0 {
			out = append(out, W("||"))
		}
		out = append(out, t.Words()...)
	}
	return out
}

// Parts are the first word and the rest, as a library wants them.
func (w When) Parts() (word, tests string) {
	all := w.Words()
	if len(all) == 0 {
		return "", ""
	}
	return w.word, join(all[1:])
}

// unfit is the fetch of the condition that may not stand in a context.
func (w When) unfit(in Context) string {
	for _, t := range w.tests {
		if t.fetch.in&in == 0 {
			return t.fetch.expression
		}
	}
	return ""
}

func join(words []Word) string {
	texts := make([]string, len(words))
	for i, w := range words {
		texts[i] = w.text
	}
	return strings.Join(texts, " ")
}
