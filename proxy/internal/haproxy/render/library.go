package render

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	parser "github.com/haproxytech/client-native/v6/config-parser"
	"github.com/haproxytech/client-native/v6/config-parser/types"
	"github.com/haproxytech/client-native/v6/configuration"
	"github.com/haproxytech/client-native/v6/configuration/options"
	"github.com/haproxytech/client-native/v6/models"

	"github.com/wagglehq/waggle/proxy/internal/haproxy/file"
)

// library writes lines by client-native's models and serializers. What they write is taken
// apart into words here, once; a renderer has one of its own, used by one goroutine.
type library struct {
	p    parser.Parser
	opts *options.ConfigurationOptions
	errs []error
}

// ofDefaults guards the sections of defaults, whose last name the library keeps in a
// variable of its package. Renderers write them once.
var ofDefaults sync.Mutex //nolint:gochecknoglobals // see above: it guards a global

func newLibrary() (*library, error) {
	p, err := parser.New()
	if err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	return &library{p: p, opts: &options.ConfigurationOptions{}}, nil
}

// failed are the errors since it was asked last.
func (l *library) failed() error {
	err := errors.Join(l.errs...)
	l.errs = nil
	if err != nil {
		return fmt.Errorf("config: %w", err)
	}
	return nil
}

func (l *library) check(err error) {
	if err != nil {
		l.errs = append(l.errs, err)
	}
}

// data is what goes into a section besides its model, by the library's name for it.
type data struct {
	attribute string
	line      any
}

// section returns the lines of a section with a model, which may be nil, and further data.
func (l *library) section(kind parser.Section, model any, more ...data) []file.Line {
	const name = "section"
	if kind == parser.Defaults {
		ofDefaults.Lock()
		defer ofDefaults.Unlock()
	}
	l.check(l.p.SectionsCreate(kind, name))
	if model != nil {
		l.check(configuration.CreateEditSection(model, kind, name, l.p, l.opts))
	}
	for _, d := range more {
		l.check(l.p.Insert(kind, name, d.attribute, d.line, -1))
	}
	out := written(l.p)
	l.check(l.p.SectionsDelete(kind, name))
	return out
}

// global returns the lines of the global section, which cannot be taken out of a parser.
func (l *library) global(model *models.Global, more ...data) []file.Line {
	p, err := parser.New()
	if err != nil {
		l.check(err)
		return nil
	}
	l.check(configuration.SerializeGlobalSection(p, model, l.opts))
	for _, d := range more {
		l.check(p.Insert(parser.Global, parser.GlobalSectionName, d.attribute, d.line, -1))
	}
	return written(p)
}

// written are the lines behind the title of the one section that a parser has.
func written(p parser.Parser) []file.Line {
	_, body, _ := strings.Cut(strings.TrimLeft(p.String(), "\n"), "\n")
	return file.ReadLines(body)
}

// action is a rule of one line.
func (l *library) action(first string, a types.Action, err error) file.Line {
	if err == nil && a == nil {
		err = fmt.Errorf("no serializer for a rule of %s", first)
	}
	if err != nil {
		l.check(err)
		return file.Line{}
	}
	return file.Read(first + " " + a.String())
}

// request is a rule for requests. formats are the values that stand in it.
func (l *library) request(r models.HTTPRequestRule, when file.When, formats ...file.Format) file.Line {
	r.Cond, r.CondTest = when.Parts()
	a, err := configuration.SerializeHTTPRequestRule(r, l.opts)
	return l.action(file.Request.String(), a, err).Within(file.Request, when, formats...)
}

// response is a rule for the answers of tasks.
func (l *library) response(r models.HTTPResponseRule, when file.When, formats ...file.Format) file.Line {
	r.Cond, r.CondTest = when.Parts()
	a, err := configuration.SerializeHTTPResponseRule(r, l.opts)
	return l.action(file.Response.String(), a, err).Within(file.Response, when, formats...)
}

// answer is a rule for all answers, HAProxy's own too.
func (l *library) answer(r models.HTTPAfterResponseRule, when file.When, formats ...file.Format) file.Line {
	r.Cond, r.CondTest = when.Parts()
	a, err := configuration.SerializeHTTPAfterRule(r)
	return l.action(file.AfterResponse.String(), a, err).Within(file.AfterResponse, when, formats...)
}

// check is a line of what a check by HTTP asks.
func (l *library) httpCheck(c models.HTTPCheck) file.Line {
	a, err := configuration.SerializeHTTPCheck(c)
	return l.action("http-check", a, err)
}

// bind is the data of a port.
func (l *library) bind(b models.Bind) data {
	return data{"bind", configuration.SerializeBind(b, l.opts)}
}

// tcpRequest is the data of a rule for connections.
func (l *library) tcpRequest(r models.TCPRequestRule, when file.When) data {
	r.Cond, r.CondTest = when.Parts()
	line, err := configuration.SerializeTCPRequestRule(r, l.opts)
	l.check(err)
	return data{"tcp-request", line}
}

// pointer returns the address of a copy, as the library's models want it.
func pointer[T any](v T) *T { return &v }

func millis(d time.Duration) *int64 { return pointer(d.Milliseconds()) }

// wholeSeconds is for the settings of TCP, whose numbers HAProxy reads as seconds.
func wholeSeconds(d time.Duration) *int64 { return pointer(int64(d / time.Second)) }

const enabled = "enabled"

// when is the opposite of nothing: enabled if something is so.
func enabledIf(so bool) string {
	if so {
		return enabled
	}
	return ""
}
