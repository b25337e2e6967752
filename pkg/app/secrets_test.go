package app

import (
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSecretsInPlaceOfSettings(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"dfp_stats_pass": "buzz \n", "dfp_maxconn": "many\n", "other": "no"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name string
		env  map[string]string
		args []string
		want string
		// complaint is part of the error, if one is wanted.
		complaint string
	}{
		{name: "a secret stands for a setting", args: []string{"-maxconn", "1"}, want: "buzz 1"},
		{name: "it wins over the variable", env: map[string]string{"STATS_PASS": "variable"}, args: []string{"-maxconn", "1"}, want: "buzz 1"},
		{name: "and loses against the command line", args: []string{"-stats-pass", "flag", "-maxconn", "1"}, want: "flag 1"},
		{name: "two secrets for one setting", env: map[string]string{"STATS_PASS_FILE": filepath.Join(dir, "other")}, args: []string{"-maxconn", "1"},
			complaint: "STATS_PASS_FILE and the secret dfp_stats_pass are both there"},
		{name: "a wrong text in a secret is named by the secret", complaint: "the secret dfp_maxconn=\"(hidden)\""},
		{name: "another folder has no secrets", env: map[string]string{"STATS_PASS": "variable"}, args: []string{"-secrets-dir", t.TempDir()}, want: "variable 0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			set := flag.NewFlagSet("bee", flag.ContinueOnError)
			set.SetOutput(io.Discard)
			var pass Secret
			set.Var(&pass, "stats-pass", "")
			maxconn := set.Int("maxconn", 0, "")
			set.String("secrets-dir", "/run/secrets", "")
			env := func(name string) (string, bool) {
				if text, ok := c.env[name]; ok {
					return text, true
				}
				return dir, name == "SECRETS_DIR"
			}
			err := Parse(set, c.args, env, SecretFiles("secrets-dir", "dfp_"))
			if c.complaint != "" {
				if err == nil || !strings.Contains(err.Error(), c.complaint) || strings.Contains(err.Error(), "buzz") {
					t.Fatalf("error %v, want %q and no secret in it", err, c.complaint)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.TrimSpace(string(pass) + " " + string(rune('0'+*maxconn))); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
