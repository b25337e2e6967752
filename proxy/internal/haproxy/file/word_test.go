package file

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

// TestWords: a constructor makes one word, which HAProxy reads as what it was made of, or
// one that Check finds.
func TestWords(t *testing.T) {
	for _, c := range []struct {
		name    string
		word    Word
		written string
		wrong   bool
	}{
		{"a word of HAProxy's", W("http-request"), "http-request", false},
		{"an expression", W("var(txn.host),map_str(/x/hosts.map)"), "var(txn.host),map_str(/x/hosts.map)", false},
		{"two words are none", W("a b"), "a b", true},
		{"nor are quotes", W("a'b"), "a'b", true},
		{"a comment", W("#"), "#", true},
		{"a variable of the environment", W("${HOME}"), "${HOME}", true},
		{"nothing", W(""), "", true},
		{"a text that means itself", Q("/shop/a.html"), "/shop/a.html", false},
		{"a text with a space", Q("a b"), "'a b'", false},
		{"a text with quotes", Q(`it's "x" \ # $Y`), `'it'\''s "x" \ # $Y'`, false},
		{"an empty text", Q(""), "''", false},
		{"a text of two lines", Q("a\nb"), "'a\nb'", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.word.String() != c.written || c.word.Wrong() != c.wrong {
				t.Errorf("written %s (wrong: %v), want %s (%v)", c.word, c.word.Wrong(), c.written, c.wrong)
			}
			err := File{Frame: []*Section{NewSection("", "frontend", "f", "", New(c.word))}}.Check()
			if (err != nil) != c.wrong {
				t.Errorf("the check says %v, want a fault: %v", err, c.wrong)
			}
		})
	}
}

// FuzzQuoted: whatever a text is, it is one word that is read as that text.
func FuzzQuoted(f *testing.F) {
	f.Add("a b")
	f.Add(`'"\#$`)
	f.Fuzz(func(t *testing.T, text string) {
		w := Q(text)
		if w.Wrong() {
			return
		}
		line := Read(New(W("x"), w, W("y")).String())
		if len(line.Words) != 3 || line.Words[1].Text() != text {
			t.Fatalf("%q is written %s and read as %q", text, w, line.Words)
		}
	})
}

// TestFlags: what a line means for others is known from its words.
func TestFlags(t *testing.T) {
	for _, c := range []struct {
		line string
		want Flags
		list string
	}{
		{"http-request deny if { src 10.0.0.1 }", Inherit, ""},
		{"http-request deny if !{ var(txn.client) -m ip -f /x/a.allowed.acl }", Inherit, "a.allowed.acl"},
		{"http-request deny if { req.fhdr(X) -m str -- -f /x/a.acl }", Inherit, ""},
		{"http-request track-sc0 src", 0, ""},
		{"no option redispatch", Inherit, ""},
		{"compression algo gzip", 0, ""},
		{"acl a path /", 0, ""},
		{"stick-table type ipv6 size 100", Counts, ""},
		{"bind :80", Local, ""},
		{"stats socket /x", Local, ""},
		{"stats auth a:b", Secret, ""},
		{"user ann password x", Secret, ""},
		{"http-response set-header Set-Cookie a=b", Inherit | Private, ""},
		{"http-response del-header Set-Cookie", Inherit, ""},
	} {
		if l := Read(c.line); l.Flags != c.want || l.List != c.list {
			t.Errorf("%s: flags %b and list %q, want %b and %q", c.line, l.Flags, l.List, c.want, c.list)
		}
	}
	if l := Raw("http-request deny"); l.Flags != 0 {
		t.Errorf("a raw line has flags %b, want none", l.Flags)
	}
}

// TestCheck: what HAProxy would refuse, or would not do as it is meant, is a fault that
// names the label.
func TestCheck(t *testing.T) {
	many := slices.Repeat([]Word{W("x")}, MaxWords)
	header, variable, answer := OfRequest("req.hdr(X)"), Variable("path"), OfResponse("status")
	value := func(fetch Fetch) Format {
		var f Formatter
		f.Fetch(fetch)
		return f.Format()
	}
	for _, c := range []struct {
		name string
		line Line
		want string
	}{
		{"as many words as HAProxy takes", New(many...), ""},
		{"one more", New(append(many, W("x"))...).Brought("com.df.userAgent"), "com.df.userAgent: frontend f: line \"x x x\": want at most 64 words, it has 65"},
		{"a variable in an answer", New(many...).Within(Response, If(Found(variable)), value(variable)), ""},
		{"the request in an answer", New(many...).Within(Response, If(Found(variable), Found(header))), "req.hdr(X) is not"},
		{"in a value", New(many...).Within(AfterResponse, When{}, value(header)), "%[req.hdr(X)]"},
		{"the answer in a request", New(many...).Within(Request, Unless(Found(answer))), "status is not"},
		{"the request in a request", New(many...).Within(Request, If(Found(header)), value(header)), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := File{Frame: []*Section{NewSection("", "frontend", "f", "", c.line)}}.Check()
			var fault *LineError
			switch {
			case c.want == "" && err == nil:
			case c.want == "" || !errors.As(err, &fault) || !strings.Contains(err.Error(), c.want):
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}
