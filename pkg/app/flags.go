package app

import (
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Secret is a flag whose value is never printed.
type Secret string

// String hides the value.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return "(hidden)"
}

// LogValue hides the value from logs.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText hides the value from JSON.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Set is for the flag package.
func (s *Secret) Set(text string) error {
	*s = Secret(text)
	return nil
}

// lookup is os.LookupEnv, or a test's.
type lookup func(string) (string, bool)

// Variable is the environment variable of a flag: "nats-url" is NATS_URL.
func Variable(flagName string) string {
	return strings.ToUpper(strings.ReplaceAll(flagName, "-", "_"))
}

// Parse reads the command line; a flag that is not on it is taken from its
// environment variable, or from the file named by that variable with _FILE
// behind it (a Docker secret; white space at its end is dropped). Both
// variables at once are an error. What IsCommand names is read from the command
// line alone. Options add further places.
func Parse(fs *flag.FlagSet, args []string, env lookup, options ...Option) error {
	if err := fs.Parse(args); err != nil {
		return err
	}
	if fs.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", fs.Arg(0))
	}
	given := map[string]bool{}
	fs.Visit(func(f *flag.Flag) { given[f.Name] = true })
	var from sources
	for _, o := range options {
		o(&from)
	}
	if err := from.find(fs, given, env); err != nil {
		return err
	}
	var errs []error
	fs.VisitAll(func(f *flag.Flag) {
		if given[f.Name] || IsCommand(f.Name) {
			return
		}
		text, from, err := from.text(f.Name, of(fs, f.Name, env))
		if err != nil {
			errs = append(errs, err)
			return
		}
		if from == "" {
			return
		}
		if err := fs.Set(f.Name, text); err != nil {
			shown := text
			if IsSecret(f) || strings.HasPrefix(from, secretFrom) {
				shown = "(hidden)"
			}
			errs = append(errs, fmt.Errorf("%s=%q: %w", from, shown, wanted(f, err)))
		}
	})
	return errors.Join(append(errs, checkTokens(fs))...)
}

// wanted says what a flag's text should be, which the errors of the flag package do not.
func wanted(f *flag.Flag, err error) error {
	value, ok := f.Value.(flag.Getter)
	if !ok || err.Error() != "parse error" {
		return err
	}
	switch value.Get().(type) {
	case time.Duration:
		return errors.New("want a time such as 30s, 5m or 1h30m")
	case bool:
		return errors.New("want true or false")
	case int, int64:
		return errors.New("want a whole number")
	case uint, uint64:
		return errors.New("want a whole number, 0 or more")
	case float64:
		return errors.New("want a number")
	}
	return err
}

// of is the environment as a flag sees it: the variable of another flag, which is called like
// it with -file behind, is no file of its text.
func of(fs *flag.FlagSet, name string, env lookup) lookup {
	if fs.Lookup(name+"-file") == nil {
		return env
	}
	return func(variable string) (string, bool) {
		if variable == Variable(name)+"_FILE" {
			return "", false
		}
		return env(variable)
	}
}

// Environ returns the variables of this process as "name=value", for the processes that it
// starts.
func Environ() []string { return os.Environ() }

// IsCommand tells whether a flag asks for something else than a running service. A
// variable such as VERSION, which many images carry, must not do that.
func IsCommand(flagName string) bool {
	return flagName == "healthcheck" || flagName == "healthcheck-hold" || flagName == "version" || flagName == "nats-config" || flagName == "alertmanager-web" ||
		slices.ContainsFunc(methods(), func(method string) bool { return flagOf(method) == flagName })
}

// fromEnvironment returns the text and the variable that it came from, "" if none is set.
func fromEnvironment(flagName string, env lookup) (text, from string, err error) {
	variable := Variable(flagName)
	text, ok := env(variable)
	path, okFile := env(variable + "_FILE")
	switch {
	case ok && okFile && path != "":
		return "", "", fmt.Errorf("%s and %s_FILE are both set: one is enough", variable, variable)
	case ok:
		return text, variable, nil
	case okFile && path != "":
		content, err := os.ReadFile(path)
		if err != nil {
			return "", "", fmt.Errorf("%s_FILE: %w", variable, err)
		}
		return strings.TrimRight(string(content), " \t\r\n"), variable + "_FILE", nil
	}
	return "", "", nil
}

// Settings returns the flags as they are in force, by name, without secrets.
func Settings(fs *flag.FlagSet) map[string]string {
	out := effective(fs)
	fs.VisitAll(func(f *flag.Flag) {
		if IsSecret(f) {
			delete(out, f.Name)
		}
	})
	return out
}

// credentials are those within a URL, a password with / and @ in it too.
var credentials = regexp.MustCompile(`//[^\s,]*@`)

// hideCredentials takes user and password out of the URLs in a text: errors repeat what they are about.
func hideCredentials(text string) string { return credentials.ReplaceAllString(text, "//(hidden)@") }

// effective returns the flags as they are in force, for the log. Secrets hide themselves.
func effective(fs *flag.FlagSet) map[string]string {
	out := map[string]string{}
	fs.VisitAll(func(f *flag.Flag) {
		if !IsCommand(f.Name) {
			out[f.Name] = hideCredentials(f.Value.String())
		}
	})
	return out
}
