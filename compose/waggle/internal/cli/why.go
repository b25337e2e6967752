package cli

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/wagglehq/waggle/compose/waggle/internal/plain"
	"github.com/wagglehq/waggle/compose/waggle/internal/why"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/picture"
)

type whyCommand struct {
	output
	Subject string `arg:"" name:"service-or-url" help:"The full name of a service, such as shop_web, or a URL."`
}

// picturePath is where the listener tells how all is.
const picturePath = "/v1/picture"

// Run tells why.
func (c *whyCommand) Run(r *run) error {
	isURL := why.IsURL(c.Subject)
	if err := why.Check(c.Subject); isURL && err != nil {
		return exit{code: Usage, text: err.Error()}
	}
	var p picture.Picture
	if err := r.ask(picturePath, &p); err != nil {
		return err
	}
	about, subject := why.Service, c.Subject
	switch _, isService := p.ByName(c.Subject); {
	case isURL:
		about = why.URL
	case !isService && strings.ContainsAny(c.Subject, "./:"): // no service has these in its name
		if about, subject = why.URL, "http://"+c.Subject; why.Check(subject) != nil || strings.Contains(c.Subject, "://") {
			return exit{code: Usage, text: fmt.Sprintf("%q: want the full name of a service, such as shop_web, or a URL such as http://shop.example.com/cart", c.Subject)}
		}
	}
	answer, err := about(p, subject)
	if err != nil {
		return err
	}
	if c.Output == "json" {
		err = r.json(answer)
	} else {
		r.ladder(subject, answer)
	}
	if err == nil && answer.FirstBroken != "" {
		return exit{code: Faults}
	}
	return err
}

// marks are what stands before a rung.
func mark(s why.State) string {
	switch s {
	case why.OK:
		return "ok"
	case why.Broken:
		return "!!"
	case why.Warn:
		return " !"
	case why.Wait:
		return ".."
	case why.None:
	}
	return "--"
}

// Colours, as terminals are told of them.
const (
	red    = "31"
	green  = "32"
	yellow = "33"
	grey   = "90"
)

func colourOf(s why.State) string {
	return map[why.State]string{why.OK: green, why.Broken: red, why.Warn: yellow, why.Wait: yellow, why.None: grey}[s]
}

func colourOfState(s catalog.State) string {
	return map[catalog.State]string{
		catalog.StateApplied: green, catalog.StateRejected: red, catalog.StateDegraded: red, catalog.StateAccepted: yellow, catalog.StateIgnored: grey,
	}[s]
}

// painted is a text with colours of its own.
type painted string

// coloured is a text in a colour where a person looks who has not asked for none (NO_COLOR).
func (r *run) coloured(colour, text string) painted {
	if text = plain.Line(text); !r.IsTerminal || r.Env["NO_COLOR"] != "" || colour == "" {
		return painted(text)
	}
	return painted("\x1b[" + colour + "m" + text + "\x1b[0m")
}

// line writes a line without white space at its end. What others have written is shown, and does
// nothing to the terminal.
func (r *run) line(format string, args ...any) {
	for i, a := range args {
		if _, ok := a.(painted); !ok {
			args[i] = plain.Line(fmt.Sprint(a))
		}
	}
	fmt.Fprintln(r.Out, strings.TrimRight(fmt.Sprintf(format, args...), " "))
}

func (r *run) ladder(subject string, a why.Answer) {
	r.line("%s", subject)
	for _, one := range a.Rungs {
		r.line(" %s %-9s %s", r.coloured(colourOf(one.State), mark(one.State)), one.Rung, one.Text)
		if one.Fix != "" && (one.State == why.Broken || one.State == why.Warn) {
			r.line("    fix       %s", one.Fix)
		}
	}
	for _, o := range a.Others {
		r.line("    not %s: %s", o.Service, o.Fails)
	}
}

type statusCommand struct {
	output
	Watch bool `short:"w" help:"Tell again whenever something has changed, until interrupted."`
}

// again is how often a watched status is looked at.
const again = 2 * time.Second

// Run tells how all is.
func (c *statusCommand) Run(r *run) error {
	if !c.Watch {
		return c.once(r)
	}
	last := ""
	for {
		var out strings.Builder
		screen := *r
		screen.Out = &out
		err := c.once(&screen)
		if e := (exit{}); errors.As(err, &e) && r.ctx.Err() == nil {
			e.tell(&out)
		}
		if text := out.String(); text != last && r.ctx.Err() == nil {
			last = text
			fmt.Fprint(r.Out, r.separator(), text)
		}
		select {
		case <-r.ctx.Done():
			return nil
		case <-time.After(again):
		}
	}
}

// separator stands before each new answer: an empty screen, or for whoever keeps what is
// written nothing that programs would stumble over.
func (r *run) separator() string {
	if r.IsTerminal {
		return "\x1b[H\x1b[2J"
	}
	return ""
}

// once tells how all is now.
func (c *statusCommand) once(r *run) error {
	var p picture.Picture
	if err := r.ask(picturePath, &p); err != nil {
		return err
	}
	o, err := why.Status(p)
	if err != nil {
		return err
	}
	if c.Output == "json" {
		err = r.json(o)
	} else {
		r.overview(o)
	}
	if err == nil && o.Faulty() {
		return exit{code: Faults}
	}
	return err
}

func (r *run) overview(o why.Overview) {
	r.line("bus %s", o.Bus)
	if o.Failure != "" {
		r.line("%s", o.Failure)
	}
	for _, c := range o.Components {
		text := fmt.Sprintf("instances: %d", c.Instances)
		if c.Trouble != "" {
			text = c.Trouble
		}
		r.line("%-9s %s", c.Component, text)
	}
	for _, w := range o.Warnings {
		r.line("warning: %s", w)
	}
	for _, s := range o.Services {
		r.line("%s %-30s %-9s %s", r.coloured(colourOfState(s.State), fmt.Sprintf("%-9s", s.State)), s.Service, s.Component, s.Reason)
	}
}
