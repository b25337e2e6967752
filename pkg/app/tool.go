package app

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"syscall"
)

// Tool is what a program does in place of its service when its first argument is the
// tool's name.
type Tool struct {
	// Name is the word, Args what follows it beside flags, as usage tells ("FILE").
	Name, Args string
	// Does says in half a sentence what it is for.
	Does string
	// Settings are the flags that are settings of the service as well, and read from their
	// variables in the same way; the other ones stand on the command line alone.
	Settings []string
	// Declare declares the flags and returns what is done.
	Declare func(*flag.FlagSet) func(context.Context, Call) error
}

// Call is one use of a tool.
type Call struct {
	// Args are the arguments that are no flags.
	Args     []string
	In       io.Reader
	Out, Err io.Writer
	// Variable looks up an environment variable.
	Variable func(string) (string, bool)
}

// Use runs the tool that the first argument of the process names, and returns the exit code;
// false if it names none.
func Use(name string, tools []Tool) (code int, asked bool) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	return use(ctx, name, tools, os.Args[1:], os.LookupEnv, streams{os.Stdin, os.Stdout, os.Stderr})
}

func use(ctx context.Context, name string, tools []Tool, args []string, env lookup, std streams) (code int, asked bool) {
	if len(args) == 0 {
		return 0, false
	}
	i := slices.IndexFunc(tools, func(t Tool) bool { return t.Name == args[0] })
	if i < 0 {
		return 0, false
	}
	t := tools[i]
	name += " " + t.Name
	fs := flag.NewFlagSet(name, flag.ContinueOnError)
	fs.SetOutput(std.err)
	run := t.Declare(fs)
	fs.Usage = func() {
		_, _ = fmt.Fprintf(std.err, "Usage: %s [flags] %s\n%s\n", name, t.Args, t.Does)
		fs.PrintDefaults()
	}
	rest, err := t.parse(fs, args[1:], env)
	code = 2
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0, true
	case err == nil:
		code = 1
		err = run(ctx, Call{Args: rest, In: std.in, Out: std.out, Err: std.err, Variable: env})
	}
	if err != nil {
		_, _ = fmt.Fprintf(std.err, "%s: %s\n", name, hideCredentials(err.Error()))
		return code, true
	}
	return 0, true
}

// parse reads flags, which may stand behind other arguments, and returns the latter.
func (t Tool) parse(fs *flag.FlagSet, args []string, env lookup) (rest []string, err error) {
	var flags []string
	for {
		if err := fs.Parse(args); err != nil {
			return nil, err
		}
		flags = append(flags, args[:len(args)-fs.NArg()]...)
		if fs.NArg() == 0 {
			break
		}
		rest, args = append(rest, fs.Arg(0)), fs.Args()[1:]
	}
	flags = slices.DeleteFunc(flags, func(arg string) bool { return arg == "--" })
	return rest, Parse(fs, flags, func(variable string) (string, bool) {
		if !slices.ContainsFunc(t.Settings, func(name string) bool { return Variable(name) == variable || Variable(name)+"_FILE" == variable }) {
			return "", false
		}
		return env(variable)
	})
}
