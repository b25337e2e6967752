package console

import (
	"embed"
	"encoding/binary"
	"encoding/hex"
	"hash/fnv"
	"html/template"
	"strings"
	"sync"
	"time"

	"github.com/wagglehq/waggle/compose/waggle/internal/plain"
	"github.com/wagglehq/waggle/compose/waggle/internal/view"
	"github.com/wagglehq/waggle/compose/waggle/internal/why"
)

//go:embed templates/*.html
var templateFiles embed.FS

// pages are all templates, whose escaping depends on where a text stands.
var pages = template.Must(template.New("").Funcs(template.FuncMap{ //nolint:gochecknoglobals // a constant that Go cannot have
	"word": view.Word, "lines": func(text string) []string { return strings.FieldsFunc(text, func(r rune) bool { return r == '\n' }) },
	"clock": view.Clock, "iso": func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
	"state": func(s why.State) string { return string(s) }, "parts": parts,
}).ParseFS(templateFiles, "templates/*.html"))

// part is a piece of a text; what stands between two backquotes is code.
type part struct {
	Text   string
	IsCode bool
}

func parts(text string) []part {
	pieces := strings.Split(text, "`")
	if len(pieces)%2 == 0 { // one has no other
		return []part{{Text: text}}
	}
	var out []part
	for i, p := range pieces {
		if p != "" {
			out = append(out, part{p, i%2 == 1})
		}
	}
	return out
}

// item is one part of a page that is replaced as a whole when it changes.
type item struct {
	// ID is that of its element.
	ID, HTML string
	hash     uint64
}

// region is an element whose children are items.
type region struct {
	id    string
	items []item
}

// sheet is a page as it stands at one moment.
type sheet struct {
	// Title and Nav, which names its place in the navigation, stand around it.
	Title, Nav string
	// frame is the template of what does not change, made of Data.
	frame   string
	Data    any
	regions []region
	status  int
	// ages says that it tells of more than the picture, so that it is made anew now and then.
	ages bool
	now  time.Time
	// shelf has lines that were made before.
	shelf *shelf
}

// shelf keeps lines of services as they were made, so that of a thousand only those are made again
// that say something else. What a line is made of is all that it depends on.
type shelf struct {
	mu    sync.Mutex // pages are made at the same time
	items map[shelved]item
}

type shelved struct {
	id, template string
	row          view.Line
}

// mostShelved is how many lines are kept before all are forgotten.
const mostShelved = 20_000

// line is that of a service, made anew if it was not made before.
func (s *shelf) line(key shelved, now time.Time) (item, error) {
	s.mu.Lock()
	one, ok := s.items[key]
	s.mu.Unlock()
	if ok {
		return one, nil
	}
	one = item{ID: key.id}
	if err := one.render(key.template, key.row, now); err != nil {
		return item{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.items == nil || len(s.items) >= mostShelved {
		s.items = map[shelved]item{}
	}
	s.items[key] = one
	return one, nil
}

// keyed is what an item is made of.
type keyed interface{ Key() string }

// shown is what the template of an item is given.
type shown struct {
	ID  string
	Row any
	// Now is the moment of which the page tells.
	Now time.Time
}

// elementID is the ID of an item's element: one without white space.
func elementID(region, key string) string {
	return region + ":" + plain.Line(strings.Join(strings.FieldsFunc(key, func(r rune) bool { return r <= ' ' }), "~"))
}

// add adds a region of one item for each row, made by a template of the region's name or
// another.
func add[T keyed](s *sheet, id, name string, rows []T) error {
	r := region{id: id, items: make([]item, 0, len(rows))}
	for _, row := range rows {
		one, err := s.make(elementID(id, row.Key()), name, row)
		if err != nil {
			return err
		}
		r.items = append(r.items, one)
	}
	s.regions = append(s.regions, r)
	return nil
}

func (s *sheet) make(id, name string, row any) (item, error) {
	if line, ok := row.(view.Line); ok && s.shelf != nil {
		return s.shelf.line(shelved{id, name, line}, s.now)
	}
	one := item{ID: id}
	err := one.render(name, row, s.now)
	return one, err
}

func (i *item) render(name string, row any, now time.Time) error {
	var out strings.Builder
	if err := pages.ExecuteTemplate(&out, name, shown{i.ID, row, now}); err != nil {
		return err
	}
	i.HTML = plain.Text(out.String())
	i.hash = hashOf(i.HTML)
	return nil
}

func hashOf(text string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(text)) // it never fails
	return h.Sum64()
}

// single is a row of which there is one.
type single struct{ V any }

// Key is always the same.
func (single) Key() string { return "0" }

// addOne adds a region of one item.
func addOne(s *sheet, id, name string, v any) error { return add(s, id, name, []single{{v}}) }

// Region writes the items of a region into the frame.
func (s *sheet) Region(id string) template.HTML {
	var out strings.Builder
	for _, r := range s.regions {
		if r.id == id {
			for _, i := range r.items {
				out.WriteString(i.HTML)
			}
		}
	}
	return template.HTML(out.String()) //nolint:gosec // templates have made it
}

// Empty reports whether a region has no items.
func (s *sheet) Empty(id string) bool {
	for _, r := range s.regions {
		if r.id == id {
			return len(r.items) == 0
		}
	}
	return true
}

// Body writes the frame into the layout.
func (s *sheet) Body() (template.HTML, error) {
	var out strings.Builder
	err := pages.ExecuteTemplate(&out, s.frame, s)
	return template.HTML(out.String()), err //nolint:gosec // a template has made it
}

// mark is the hash of all that may change.
func (s *sheet) mark() string {
	h := fnv.New128a()
	var b [8]byte
	for _, r := range s.regions {
		_, _ = h.Write([]byte(r.id)) // it never fails
		for _, i := range r.items {
			_, _ = h.Write([]byte(i.ID))
			binary.LittleEndian.PutUint64(b[:], i.hash)
			_, _ = h.Write(b[:])
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}

// trace is what a page had, as far as that is needed to tell what has changed.
type trace struct {
	frame   string
	regions map[string][]traced
}

type traced struct {
	id   string
	hash uint64
}

func (s *sheet) trace() trace {
	out := trace{s.frame, map[string][]traced{}}
	for _, r := range s.regions {
		list := make([]traced, len(r.items))
		for i, one := range r.items {
			list[i] = traced{one.ID, one.hash}
		}
		out.regions[r.id] = list
	}
	return out
}

// patch says how a region becomes another one: all is removed if Whole is set, else what Drop
// names; then each of Put stands behind After, or first without that. Frame is another content of
// the whole page, with another title.
type patch struct {
	ID    string   `json:"id"`
	Frame string   `json:"frame,omitempty"`
	Title string   `json:"title,omitempty"`
	Whole bool     `json:"whole,omitempty"`
	Drop  []string `json:"drop,omitempty"`
	Put   []put    `json:"put,omitempty"`
}

type put struct {
	ID    string `json:"id"`
	After string `json:"after,omitempty"`
	HTML  string `json:"html"`
}

// bodyID is that of the element around the frame.
const bodyID = "body"

// diff tells how a page that had what a trace says becomes this one. One of another frame, such
// as that of a service that was not there, is told as a whole; so is all without a trace.
func (s *sheet) diff(had trace) ([]patch, error) {
	var out []patch
	if had.frame != "" && had.frame != s.frame {
		body, err := s.Body()
		if err != nil {
			return nil, err
		}
		out = append(out, patch{ID: bodyID, Frame: plain.Text(string(body)), Title: plain.Line(s.Title)})
		had.regions = map[string][]traced{"summary": had.regions["summary"], "alarms": had.regions["alarms"]}
	}
	for _, r := range s.regions {
		old, known := had.regions[r.id]
		if p := r.diff(old, known); p.Whole || len(p.Drop)+len(p.Put) > 0 {
			out = append(out, p)
		}
	}
	return out, nil
}

func (r region) diff(old []traced, known bool) patch {
	p := patch{ID: r.id, Whole: !known}
	had := make(map[string]uint64, len(old))
	for _, t := range old {
		had[t.id] = t.hash
	}
	has := make(map[string]uint64, len(r.items))
	for _, i := range r.items {
		has[i.ID] = i.hash
	}
	// What stays as it is keeps its place only if it stands in the same order.
	var before, now []string
	for _, t := range old {
		if h, ok := has[t.id]; !ok {
			p.Drop = append(p.Drop, t.id)
		} else if h == t.hash {
			before = append(before, t.id)
		}
	}
	for _, i := range r.items {
		if h, ok := had[i.ID]; ok && h == i.hash {
			now = append(now, i.ID)
		}
	}
	for i := range before {
		p.Whole = p.Whole || before[i] != now[i]
	}
	if p.Whole {
		p.Drop = nil
	}
	after := ""
	for _, i := range r.items {
		if h, ok := had[i.ID]; p.Whole || !ok || h != i.hash {
			p.Put = append(p.Put, put{i.ID, after, i.HTML})
		}
		after = i.ID
	}
	return p
}
