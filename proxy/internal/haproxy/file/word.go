// Package file is HAProxy's configuration as data: sections of lines of words. A word is
// made by a constructor that checks or quotes it, so that no text can become two words, and
// what a line means for others (is it inherited, the machine's own, a secret) is known when
// it is made. Nothing here, and nothing behind it, looks for something in rendered text.
//
// Files from top to bottom: parse.go, shown.go, file.go, server.go, section.go, line.go,
// fetch.go, certificate.go, warnings.go, word.go.
package file

import "strings"

// Word is one word of HAProxy's language, as it is written.
type Word struct {
	text string
	// wrong says that the text is not one word.
	wrong bool
}

// String is the word as it is written.
func (w Word) String() string { return w.text }

// Text is the word as HAProxy reads it.
func (w Word) Text() string {
	if !strings.ContainsAny(w.text, `'"\`) {
		return w.text
	}
	var b strings.Builder
	quote := byte(0)
	for i := 0; i < len(w.text); i++ {
		c := w.text[i]
		switch {
		case quote == 0 && (c == '\'' || c == '"'):
			quote = c
		case quote != 0 && c == quote:
			quote = 0
		case c == '\\' && quote != '\'' && i+1 < len(w.text):
			i++
			b.WriteByte(w.text[i])
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// W is a word that is written as it is: one of HAProxy's own, a name that we made, an
// expression. A text that would be read as something else is found by Check.
func W(text string) Word {
	return Word{text: text, wrong: text == "" || strings.ContainsFunc(text, func(r rune) bool {
		return r <= ' ' || r == 0x7f || strings.ContainsRune(`'"\#$`, r)
	})}
}

// Q makes one word of any text without control characters; the parsers of labels admit no
// others, and Check finds them.
func Q(text string) Word {
	w := Word{text: text, wrong: strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f })}
	if text == "" || strings.Trim(text, plain) != "" {
		w.text = "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
	}
	return w
}

// plain are the characters that mean themselves outside quotes.
const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:,@+=*~^"

// Argument quotes the argument of a converter, which may hold commas and parentheses
// between quotes. The word around it is quoted by itself.
func Argument(text string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text) + `"`
}

// words takes a written line apart, each word as it stands there.
func words(line string) []Word {
	var out []Word
	start, quote, escaped := -1, byte(0), false
	for i := 0; i < len(line); i++ {
		c := line[i]
		blank := c == ' ' || c == '\t' || c == '\r' || c == '\n'
		if start < 0 && !blank {
			start = i
		}
		switch {
		case escaped:
			escaped = false
		case c == '\\' && quote != '\'':
			escaped = true
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'':
			quote = c
		case blank && start >= 0:
			out = append(out, Word{text: line[start:i]})
			start = -1
		}
	}
	if start >= 0 {
		out = append(out, Word{text: line[start:]})
	}
	return out
}

// Wrong reports whether a text was not one word.
func (w Word) Wrong() bool { return w.wrong }
