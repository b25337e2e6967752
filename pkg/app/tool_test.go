package app

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
	"testing"
)

// say is a tool that says its arguments, two flags and its standard input.
func say() Tool {
	return Tool{
		Name: "say", Args: "WORD...", Does: "Says words.", Settings: []string{"docker-host"},
		Declare: func(fs *flag.FlagSet) func(context.Context, Call) error {
			host, up := fs.String("docker-host", "here", "a setting"), fs.String("up", "no", "a flag")
			return func(_ context.Context, c Call) error {
				in, err := io.ReadAll(c.In)
				if len(c.Args) == 0 {
					err = errors.New("no words for nats://a:buzz@one")
				}
				_, _ = fmt.Fprint(c.Out, strings.Join(c.Args, " "), "; ", *host, " ", *up, "; ", string(in))
				return err
			}
		},
	}
}

func TestUseTool(t *testing.T) {
	for _, c := range []struct {
		name       string
		args       []string
		code       int
		asked      bool
		said, told string
	}{
		{name: "no arguments: the service", args: nil},
		{name: "flags: the service", args: []string{"-version"}},
		{name: "another word: the service refuses it", args: []string{"sing"}},
		{name: "arguments and a setting from its variable", args: []string{"say", "a", "b"}, asked: true, said: "a b; there no; in"},
		{name: "flags before, between and behind", args: []string{"say", "-up", "1", "a", "-docker-host=x", "b"}, asked: true, said: "a b; x 1; in"},
		{name: "- is an argument", args: []string{"say", "-"}, asked: true, said: "-; there no; in"},
		{name: "a flag that is not there", args: []string{"say", "-loud", "a"}, code: 2, asked: true, told: "-loud"},
		{name: "a failure, without a password", args: []string{"say"}, code: 1, asked: true, said: "; there no; in", told: "bee say: no words for nats://(hidden)@one"},
		{name: "help", args: []string{"say", "-h"}, asked: true, told: "Usage: bee say [flags] WORD...\nSays words.\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out, told bytes.Buffer
			env := func(name string) (string, bool) {
				text, ok := map[string]string{"DOCKER_HOST": "there", "UP": "99"}[name]
				return text, ok
			}
			code, asked := use(t.Context(), "bee", []Tool{say()}, c.args, env, streams{strings.NewReader("in"), &out, &told})
			if code != c.code || asked != c.asked || out.String() != c.said || !strings.Contains(told.String(), c.told) {
				t.Errorf("code %d, asked %v, said %q, told %q; want %d, %v, %q, %q", code, asked, out.String(), told.String(), c.code, c.asked, c.said, c.told)
			}
		})
	}
}
