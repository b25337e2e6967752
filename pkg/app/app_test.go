package app

import (
	"bytes"
	"context"
	"flag"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// start runs a service that tells its settings instead of working.
func start(t *testing.T, env map[string]string, args ...string) (code int, told, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	service := func(fs *flag.FlagSet) func(context.Context, Shell) error {
		text := fs.String("text", "none", "a text")
		var secret Secret
		fs.Var(&secret, "key", "a secret")
		var token Secret
		TokenVar(fs, &token, "token", "a token")
		fs.String("nats-url", "", "a URL")
		fs.Duration("pause", time.Second, "a time")
		fs.Bool("quiet", false, "a choice")
		fs.Uint64("most", 1, "a number")
		return func(_ context.Context, sh Shell) error {
			told = strings.Join([]string{sh.Name, sh.Version, sh.Admin, *text, string(secret)}, " ")
			return nil
		}
	}
	lookup := func(name string) (string, bool) {
		text, ok := env[name]
		return text, ok
	}
	code = run(t.Context(), "bee", "v1", service, args, lookup, streams{strings.NewReader(""), &out, &errs})
	return code, told, out.String(), errs.String()
}

func TestSettings(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte("buzz\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		env  map[string]string
		args []string
		code int
		// told is what the service was given; complaint is part of what was said instead.
		told, complaint string
	}{
		{name: "the defaults", told: "bee v1 control:8080 none "},
		{name: "the environment fills what the command line left", env: map[string]string{"TEXT": "env", "ADMIN": ":1"}, args: []string{"-text", "flag"}, told: "bee v1 :1 flag "},
		{name: "a secret comes from a file", env: map[string]string{"KEY_FILE": file}, told: "bee v1 control:8080 none buzz"},
		{name: "variable and file at once", env: map[string]string{"KEY": "a", "KEY_FILE": file}, code: 2, complaint: "KEY and KEY_FILE are both set"},
		{name: "a file that is missing", env: map[string]string{"KEY_FILE": file + "x"}, code: 2, complaint: "KEY_FILE"},
		{name: "a token that is too short", env: map[string]string{"TOKEN": "buzz"}, code: 2, complaint: "token (TOKEN): want at least 16 bytes, and this has 4"},
		{name: "one of two that is too short, on the command line", args: []string{"-token", "0123456789abcdef buzz"}, code: 2, complaint: "token (TOKEN): want at least 16 bytes"},
		{name: "two tokens that are long enough", env: map[string]string{"TOKEN": "0123456789abcdef buzz456789abcdef"}, told: "bee v1 control:8080 none "},
		{name: "passwords in URLs", env: map[string]string{"NATS_URL": "nats://a:buzz@one:4222,tls://b:bu/z@buzz@two:4222"}, told: "bee v1 control:8080 none ", complaint: `nats://(hidden)@one:4222,tls://(hidden)@two:4222`},
		{name: "a wrong text", env: map[string]string{"LOG_LEVEL": "loud"}, code: 2, complaint: `LOG_LEVEL="loud"`},
		{name: "a time without a unit", env: map[string]string{"PAUSE": "5"}, code: 2, complaint: `PAUSE="5": want a time such as 30s, 5m or 1h30m`},
		{name: "a choice that is none", env: map[string]string{"QUIET": "yes"}, code: 2, complaint: `QUIET="yes": want true or false`},
		{name: "a number that is none", env: map[string]string{"MOST": "many"}, code: 2, complaint: `MOST="many": want a whole number, 0 or more`},
		{name: "an argument too many", args: []string{"more"}, code: 2, complaint: `unexpected argument "more"`},
		{name: "variables of others that are called as our commands", env: map[string]string{"VERSION": "3.4.7", "HEALTHCHECK": "curl"}, told: "bee v1 control:8080 none "},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, told, _, stderr := start(t, c.env, c.args...)
			if code != c.code || told != c.told || !strings.Contains(stderr, c.complaint) {
				t.Errorf("code %d, told %q, said %q; want %d, %q, %q", code, told, stderr, c.code, c.told, c.complaint)
			}
			if strings.Contains(stderr, "buzz") {
				t.Error("the secret stands in the log")
			}
		})
	}
}

// TestAFileOfAnotherName: the variable of a flag text-file is no file of the flag text.
func TestAFileOfAnotherName(t *testing.T) {
	fs := flag.NewFlagSet("bee", flag.ContinueOnError)
	text, file := fs.String("text", "none", "a text"), fs.String("text-file", "none", "a file of texts")
	env := map[string]string{"TEXT_FILE": "/nowhere"}
	if err := Parse(fs, nil, func(name string) (string, bool) { v, ok := env[name]; return v, ok }); err != nil || *text != "none" || *file != "/nowhere" {
		t.Error(*text, *file, err)
	}
}

func TestVersion(t *testing.T) {
	code, told, stdout, _ := start(t, nil, "-version")
	if code != 0 || told != "" || stdout != "bee v1\n" {
		t.Errorf("code %d, told %q, said %q; want the version and no service", code, told, stdout)
	}
}

// TestSettingsAreToldWithoutSecrets: others may read them.
func TestSettingsAreToldWithoutSecrets(t *testing.T) {
	var got map[string]string
	service := func(fs *flag.FlagSet) func(context.Context, Shell) error {
		fs.String("text", "none", "a text")
		fs.Int("count", 1, "a number")
		fs.Var(new(Secret), "key", "a secret")
		return func(_ context.Context, sh Shell) error {
			got = sh.Chosen([]string{"text", "count", "key", "admin", "version", "nothing"})
			return nil
		}
	}
	env := func(name string) (string, bool) { return "buzz", name == "KEY" || name == "TEXT" }
	if code := run(t.Context(), "bee", "v1", service, []string{"-count", "7"}, env, streams{in: strings.NewReader(""), out: io.Discard, err: io.Discard}); code != 0 {
		t.Fatal(code)
	}
	if want := map[string]string{"text": "buzz", "count": "7", "admin": "control:8080"}; !maps.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}
