// Package cli is the command line of waggle.
package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/wagglehq/waggle/compose/waggle/internal/console"
	"github.com/wagglehq/waggle/compose/waggle/internal/plain"
)

// The exit codes.
const (
	Fine   = 0
	Faults = 1
	Usage  = 2
	// NoAnswer: what would have to be asked or read cannot be.
	NoAnswer = 3
	// Closed: a guard has no counterpart, so that what is printed refuses everybody.
	Closed = 4
)

// World is what a command sees of the outside.
type World struct {
	Env      map[string]string
	Out, Err io.Writer
	Version  string
	// IsTerminal says that a person looks at Out, and not a program.
	IsTerminal bool
}

// DefaultURL is where the listener answers within its own container.
const DefaultURL = "http://127.0.0.1:8080"

// commands are all that there are.
type commands struct {
	URL string `help:"The HTTP interface of the listener (variable WAGGLE_URL)." default:"${url}" placeholder:"URL"`

	Status  statusCommand  `cmd:"" help:"Tell how Waggle and its services are, the worst first."`
	Why     whyCommand     `cmd:"" help:"Tell why a service is not routed, scraped or scaled, or where a URL leads."`
	Tail    tailCommand    `cmd:"" help:"Tell what happens, as it happens: changes, decisions, reloads."`
	Lint    lintCommand    `cmd:"" help:"Find mistakes in stack files before they are deployed; asks no server."`
	Get     getCommand     `cmd:"" help:"Print what the listener answers to a path, such as /v1/catalog."`
	Import  importCommand  `cmd:"" help:"Rewrite the labels of Traefik or caddy-docker-proxy in a stack file, and list what is lost."`
	Console consoleCommand `cmd:"" help:"Serve a page about how Waggle and its services are; it changes nothing."`

	Completion completionCommand `cmd:"" help:"Print a script by which bash, zsh or fish complete commands, flags and names of services."`
	Services   servicesCommand   `cmd:"" hidden:"" help:"Print the names of services, for the shell's completion."`

	Version kong.VersionFlag `help:"Print the version and exit."`
}

// run is what each command is given.
type run struct {
	World
	ctx context.Context
	url string
	// model is what there is on the command line.
	model *kong.Application
	// token is sent to the listener if it is not empty.
	token string
}

// token is what the listener may want from whoever reads: the one that is given, or beside the
// listener, in its container, the listener's own.
func (w World) token() string {
	text := cmp.Or(w.Env["WAGGLE_TOKEN"], w.Env["READ_TOKEN"])
	if file := w.Env["READ_TOKEN_FILE"]; text == "" && file != "" {
		if content, err := os.ReadFile(file); err == nil {
			text = string(content)
		}
	}
	// Of several, each counts.
	first, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	return strings.TrimSpace(first)
}

// exit is a result that is not 0; what there is to be told has been told if the text is empty.
type exit struct {
	code int
	text string
	// fix says what to do about it, empty if the text does.
	fix string
}

func (e exit) Error() string { return cmp.Or(e.text, "faults were found") }

// tell writes what went wrong, and what to do.
func (e exit) tell(out io.Writer) {
	if e.text != "" {
		fmt.Fprintln(out, "waggle:", plain.Line(e.text))
	}
	if e.fix != "" {
		fmt.Fprintln(out, "    fix:", e.fix)
	}
}

// ended carries a code out of the library, which ends the process for help and version.
type ended int

// Main runs a command line and returns the exit code.
func Main(ctx context.Context, args []string, w World) (code int) {
	defer func() {
		switch e := recover().(type) {
		case nil:
		case ended:
			code = int(e)
		default:
			panic(e)
		}
	}()
	var c commands
	parser, err := kong.New(&c, kong.Name("waggle"), kong.Description("Answers why a service of the swarm is not routed, scraped or scaled. Where the listener asks for a token to read, WAGGLE_TOKEN is sent."),
		kong.Writers(w.Out, w.Err), kong.Exit(func(code int) { panic(ended(code)) }), kong.UsageOnError(),
		kong.Vars{"url": cmp.Or(w.Env["WAGGLE_URL"], DefaultURL), "version": w.Version, "listen": cmp.Or(w.Env["WAGGLE_CONSOLE_LISTEN"], "127.0.0.1:8090"), "from": cmp.Or(w.Env["WAGGLE_CONSOLE_FROM"], console.ProxyOnly), "network": w.Env["WAGGLE_CONTROL_NETWORK"]})
	if err != nil {
		fmt.Fprintln(w.Err, "waggle:", err)
		return Usage
	}
	parsed, err := parser.Parse(asked(long(args)))
	if err != nil {
		fmt.Fprintf(w.Err, "waggle: %s\nCommands: %s; see waggle --help\n", plain.Line(err.Error()), strings.Join(names(parser), ", "))
		return Usage
	}
	err = parsed.Run(&run{World: w, ctx: ctx, url: strings.TrimSuffix(c.URL, "/"), token: w.token(), model: parser.Model})
	var e exit
	switch {
	case err == nil:
		return Fine
	case errors.As(err, &e):
		e.tell(w.Err)
		return e.code
	}
	exit{text: err.Error()}.tell(w.Err)
	return NoAnswer
}

func names(k *kong.Kong) []string {
	var out []string
	for _, n := range k.Model.Children {
		if !n.Hidden {
			out = append(out, n.Name)
		}
	}
	return out
}

// long makes --stack of -stack: the programs of Waggle take both.
func long(args []string) []string {
	out := make([]string, len(args))
	for i, a := range args {
		if name, _, _ := strings.Cut(a, "="); len(name) > 2 && a[0] == '-' && a[1] != '-' {
			a = "-" + a
		}
		out[i] = a
	}
	return out
}

// asked makes flags of the commands by which other programs are asked what they are.
func asked(args []string) []string {
	switch {
	case len(args) > 0 && args[0] == "help":
		return append(slices.Clone(args[1:]), "--help")
	case len(args) == 1 && args[0] == "version":
		return []string{"--version"}
	}
	return args
}

// output is how a command answers.
type output struct {
	Output string `short:"o" help:"How to answer: text or json." enum:"text,json" default:"text"`
}

// json writes an answer for programs.
func (r *run) json(v any) error {
	e := json.NewEncoder(r.Out)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}
