package file

import (
	"path"
	"strings"
)

// Section is one section. It is not changed any more once it is made, and equal sections
// that are kept are the same one.
type Section struct {
	// Kind is its first word, From the defaults section from which it derives, if it says so.
	Kind, Name, From string
	Lines            []Line
	// text is the whole, shared the part of its lines that all replicas have.
	text, shared string
}

// NewSection makes a section. dir is where files of ours lie, which replicas may have in
// different places.
func NewSection(dir, kind, name, from string, lines ...Line) *Section {
	s := &Section{Kind: kind, Name: name, From: from, Lines: lines}
	var text, shared strings.Builder
	text.WriteString(s.title() + "\n")
	for _, l := range lines {
		text.WriteString(l.written() + "\n")
		shared.WriteString(l.shared(dir))
	}
	s.text, s.shared = text.String(), shared.String()
	return s
}

// title is the line with which a section begins.
func (s *Section) title() string {
	out := s.Kind
	if s.Name != "" {
		out += " " + s.Name
	}
	if s.From != "" {
		out += " from " + s.From
	}
	return out
}

// Equal reports whether two sections say the same.
func (s *Section) Equal(other *Section) bool { return s == other || s.text == other.text }

// Text is the section as it is written.
func (s *Section) Text() string { return s.text }

// Counts reports whether a backend has a table of clients.
func (s *Section) Counts() bool {
	for _, l := range s.Lines {
		if l.Flags&Counts != 0 {
			return true
		}
	}
	return false
}

// check says what is wrong with its first line that is.
func (s *Section) check() error {
	for _, l := range s.Lines {
		if err := l.check(s.title()); err != nil {
			return err
		}
	}
	return nil
}

// written is a line with what comes before it. Conditions of HAProxy's version stand at
// the margin.
func (l Line) written() string {
	text := l.String()
	if strings.HasPrefix(text, ".") {
		return text
	}
	return indent + text
}

const indent = "  "

// Socket begins the address of a socket in the file system.
const Socket = "unix@"

// shared is a line as all replicas have it that have the same settings: without ports,
// sockets and folders, which may differ from machine to machine.
func (l Line) shared(dir string) string {
	if l.Flags&Local != 0 {
		return ""
	}
	text := l.written()
	if !strings.Contains(text, Socket) && (dir == "" || !strings.Contains(text, dir)) {
		return text + "\n"
	}
	words := make([]string, len(l.Words))
	for i, w := range l.Words {
		switch {
		case strings.HasPrefix(w.text, Socket):
			words[i] = Socket + path.Base(w.text)
		case dir == "":
			words[i] = w.text
		default:
			words[i] = strings.ReplaceAll(strings.TrimPrefix(w.text, dir+"/"), "("+dir+"/", "(")
		}
	}
	return indent + strings.Join(words, " ") + "\n"
}
