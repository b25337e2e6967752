package alert

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"text/template"

	"github.com/prometheus/common/model"
	yaml "go.yaml.in/yaml/v3"

	"github.com/wagglehq/waggle/pkg/label"
)

//go:embed packs/*.yaml
var packFiles embed.FS

// The packs that are built in.
const (
	DefaultPack = "waggle"
	classicPack = "classic"
)

// Pack are shortcuts by name, which begins with "@".
type Pack struct {
	entries map[string]*entry
	// textual joins expressions as they stand, as Docker Flow did.
	textual bool
}

// PackFile is a file of shortcuts that add to a pack, or replace some of it.
type PackFile struct {
	Name    string
	Content []byte
}

// entryYAML is one shortcut as it stands in a file. Docker Flow's files have the first three
// parts, whose texts are Go templates.
type entryYAML struct {
	Expanded    string            `yaml:"expanded"`
	Annotations map[string]string `yaml:"annotations,omitempty"`
	Labels      map[string]string `yaml:"labels,omitempty"`
	// Values are what its values must be: number, bound, range, quantile or latency. Without
	// them each text will do.
	Values []string `yaml:"values,omitempty"`
	// Series are the labels of its results: whole, container, node or filesystem.
	Series string `yaml:"series,omitempty"`
	// Proxies says that it reads what the proxies count.
	Proxies bool `yaml:"proxies,omitempty"`
}

// entry is one shortcut.
type entry struct {
	values  []valueKind
	series  series
	proxies bool
	// exact entries are written so that there is no doubt about them.
	exact                      bool
	expanded                   *template.Template
	annotations, defaultLabels map[string]*template.Template
}

// NewPack returns a built-in pack with what files add to it. The later of two entries of one
// name counts.
func NewPack(name string, files ...PackFile) (*Pack, error) {
	if name == DefaultPack && len(files) == 0 {
		return standard, nil // packs are not changed
	}
	return readPack(name, files)
}

// mostTold is how many bytes of shortcuts are told to others; of more only the names are.
const mostTold = 8 << 10

// Tell is the text by which others learn of files of shortcuts: their entries, of two of one name the
// later one, or no more than their names, separated by commas, if that is long. A file that cannot be
// read has none.
func Tell(files []PackFile) string {
	all := map[string]entryYAML{}
	for _, f := range files {
		var own map[string]entryYAML
		if yaml.Unmarshal(f.Content, &own) == nil {
			maps.Copy(all, own)
		}
	}
	if len(all) == 0 {
		return ""
	}
	content, err := yaml.Marshal(all)
	if err != nil || len(content) > mostTold {
		return strings.Join(slices.Sorted(maps.Keys(all)), ",")
	}
	return string(content)
}

// Heard is the file of shortcuts that a text of Tell is about. Any value will do for those of which
// only the names are known.
func Heard(text string) (PackFile, error) {
	all := map[string]entryYAML{}
	if yaml.Unmarshal([]byte(text), &all) != nil {
		all = map[string]entryYAML{}
		for name := range strings.SplitSeq(text, ",") {
			if name = strings.TrimSpace(name); name != "" {
				all[name] = entryYAML{Expanded: "vector(0)"}
			}
		}
	}
	content, err := yaml.Marshal(all)
	return PackFile{Name: "own-shortcuts", Content: content}, err
}

func readPack(name string, files []PackFile) (*Pack, error) {
	if name != DefaultPack && name != classicPack {
		return nil, fmt.Errorf("shortcuts %q: want %s or %s", name, DefaultPack, classicPack)
	}
	p := &Pack{entries: map[string]*entry{}, textual: name == classicPack}
	content, err := packFiles.ReadFile("packs/" + name + ".yaml")
	if err != nil {
		return nil, err
	}
	if err := p.add(PackFile{name, content}); err != nil {
		return nil, err
	}
	for _, e := range p.entries {
		e.exact = name == DefaultPack
	}
	var errs []error
	for _, f := range files {
		errs = append(errs, p.add(f))
	}
	return p, errors.Join(errs...)
}

// standard is the pack of those who ask for none.
var standard = func() *Pack { //nolint:gochecknoglobals // a constant that Go cannot have
	p, err := readPack(DefaultPack, nil)
	if err != nil {
		panic(err) // it is built in, and tests read it
	}
	return p
}()

func (p *Pack) add(f PackFile) error {
	var all map[string]entryYAML
	d := yaml.NewDecoder(bytes.NewReader(f.Content))
	d.KnownFields(true)
	// A file without any entries, such as one of comments alone, has nothing to decode.
	if err := d.Decode(&all); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("shortcuts in %s: %w", f.Name, err)
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		e, err := all[name].compile(name)
		if err != nil {
			return fmt.Errorf("shortcuts in %s: %s: %w", f.Name, name, err)
		}
		p.entries[name] = e
	}
	return nil
}

// kinds are what values may be, by their words in a file.
var kinds = map[string]valueKind{"number": number, "bound": bound, "range": interval, "quantile": quantile, "latency": latencyBound} //nolint:gochecknoglobals // a constant that Go cannot have

var seriesWords = map[string]series{"whole": whole, "container": container, "node": node, "filesystem": filesystem, "": mixed} //nolint:gochecknoglobals // a constant that Go cannot have

func (y entryYAML) compile(name string) (*entry, error) {
	if !strings.HasPrefix(name, "@") || strings.ContainsAny(name, ": ,") {
		return nil, errors.New("want a name that begins with @, without colons, commas and spaces")
	}
	e := &entry{proxies: y.Proxies, annotations: map[string]*template.Template{}, defaultLabels: map[string]*template.Template{}}
	for _, word := range y.Values {
		kind, ok := kinds[word]
		if !ok {
			return nil, fmt.Errorf("values: %q: want number, bound, range, quantile or latency", word)
		}
		e.values = append(e.values, kind)
	}
	var ok bool
	if e.series, ok = seriesWords[y.Series]; !ok {
		return nil, fmt.Errorf("series: %q: want whole, container, node or filesystem", y.Series)
	}
	if strings.TrimSpace(y.Expanded) == "" {
		return nil, errors.New("expanded: want an expression")
	}
	var err error
	if e.expanded, err = parse("expanded", y.Expanded); err != nil {
		return nil, err
	}
	for into, texts := range map[*map[string]*template.Template]map[string]string{&e.annotations: y.Annotations, &e.defaultLabels: y.Labels} {
		for key, text := range texts {
			if (*into)[key], err = parse(key, text); err != nil {
				return nil, err
			}
		}
	}
	return e, nil
}

func parse(name, text string) (*template.Template, error) {
	return template.New(name).Option("missingkey=error").Funcs(template.FuncMap{"quote": strconv.Quote, "bound": boundMatcher}).Parse(text)
}

// words is what the templates of a shortcut speak of; the names are Docker Flow's, but for
// FullName, which is the name of the service with its stack, Listener and Proxies.
type words struct {
	Alert  alertWords
	Values []string
}

type alertWords struct {
	AlertName, AlertNameFormatted, AlertIf, AlertFor string
	AlertLabels, AlertAnnotations                    map[string]string
	AlertPersistent                                  bool
	ServiceName, FullName                            string
	Replicas                                         uint64
	// Listener and Proxies are the jobs of Waggle's listener and proxies; empty if they are not
	// known.
	Listener, Proxies string
}

// single reads one shortcut with its values. Values beyond those it takes are
// ignored, as they always were.
func (p *Pack) single(text string, s subject) (clause, error) {
	name, rest, hasValues := strings.Cut(text, ":")
	e, ok := p.entries[name]
	if !ok {
		return clause{}, errors.New("PromQL or one of " + strings.Join(slices.Sorted(maps.Keys(p.entries)), ", "))
	}
	who, every := "the service is", s.interval
	if e.proxies {
		if s.proxies.Job == "" {
			return clause{}, errors.New("another condition than " + name + ", " + unscraped)
		}
		who, every = "the proxies are", s.proxies.Interval
	}
	rest, _, _ = strings.Cut(rest, ":")
	var values []string
	if hasValues {
		values = strings.Split(rest, ",")
	}
	for i := range values {
		values[i] = strings.TrimSpace(values[i])
	}
	for i, kind := range e.values {
		if i >= len(values) || values[i] == "" {
			return clause{}, fmt.Errorf("%s with %d values: %s", name, len(e.values), describe(e.values))
		}
		if !kind.check(values[i]) {
			return clause{}, fmt.Errorf("%s with %s instead of %q", name, kind, label.Show(values[i], false))
		}
		if kind == interval && tooShort(values[i], every) {
			return clause{}, fmt.Errorf("%s with a range of at least %s instead of %q, because %s scraped every %s and a shorter one never holds two samples",
				name, model.Duration(2*every), values[i], who, model.Duration(every))
		}
	}
	return e.expand(name, words{Alert: s.words, Values: values})
}

// expand fills in the templates.
func (e *entry) expand(name string, w words) (clause, error) {
	fill := func(t *template.Template) (string, error) {
		var b strings.Builder
		if err := t.Execute(&b, w); err != nil {
			return "", fmt.Errorf("%s with the values that it takes: %w", name, err)
		}
		return strings.TrimSpace(b.String()), nil
	}
	c := clause{series: e.series, raw: !e.exact, annotations: map[string]string{}, labels: map[string]string{}}
	var err error
	if c.expr, err = fill(e.expanded); err != nil {
		return clause{}, err
	}
	for key, t := range e.annotations {
		if c.annotations[key], err = fill(t); err != nil {
			return clause{}, err
		}
	}
	for key, t := range e.defaultLabels {
		if c.labels[key], err = fill(t); err != nil {
			return clause{}, err
		}
	}
	return c, nil
}
