package settings

import (
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wagglehq/waggle/pkg/app"
	"github.com/wagglehq/waggle/proxy/judge"
)

// everyFlag returns a set with all settings that the program has.
func everyFlag() *flag.FlagSet {
	fs := flag.NewFlagSet("proxy", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	new(app.Common).Flags(fs)
	new(Config).Flags(fs)
	return fs
}

// another returns a text that a setting takes and that differs from its default.
func another(t *testing.T, name string) string {
	t.Helper()
	if app.IsSecret(everyFlag().Lookup(name)) {
		return "sixteen-bytes-or-more"
	}
	for _, text := range []string{"true", "false", "7", "7s", "error", "text"} {
		f := everyFlag().Lookup(name)
		before := f.Value.String()
		if f.Value.Set(text) == nil && f.Value.String() != before {
			return text
		}
	}
	t.Fatalf("%s: no text of this test's is right for it", name)
	return ""
}

// TestEverySettingMayBeASecret: a variable, a file that a variable with _FILE names,
// and a secret dfp_*, for each setting there is.
func TestEverySettingMayBeASecret(t *testing.T) {
	everyFlag().VisitAll(func(f *flag.Flag) {
		if app.IsCommand(f.Name) || f.Name == "secrets-dir" {
			return // the folder of secrets is no secret itself
		}
		t.Run(f.Name, func(t *testing.T) {
			text := another(t, f.Name)
			want := everyFlag().Lookup(f.Name)
			if err := want.Value.Set(text); err != nil {
				t.Fatal(err)
			}
			variable := app.Variable(f.Name)
			full, empty := t.TempDir(), t.TempDir()
			secret := filepath.Join(full, "dfp_"+strings.ToLower(variable))
			if err := os.WriteFile(secret, []byte(text+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			for _, c := range []struct {
				from string
				env  map[string]string
			}{
				{"the variable", map[string]string{variable: text, "SECRETS_DIR": empty}},
				{"the file", map[string]string{variable + "_FILE": secret, "SECRETS_DIR": empty}},
				{"the secret", map[string]string{"SECRETS_DIR": full}},
				{"the secret before the variable", map[string]string{variable: f.DefValue, "SECRETS_DIR": full}},
			} {
				fs := everyFlag()
				err := app.Parse(fs, nil, func(name string) (string, bool) { v, ok := c.env[name]; return v, ok }, app.SecretFiles("secrets-dir", "dfp_"))
				if got := fs.Lookup(f.Name).Value.String(); err != nil || got != want.Value.String() {
					t.Errorf("%s: %q, %v; want %q", c.from, got, err, want.Value.String())
				}
			}
		})
	})
}

func TestModeAndFormatOfWhatIsNotHTTP(t *testing.T) {
	c, s, err := settle(t, map[string]string{"DEFAULT_REQ_MODE": "tcp"}, map[string]string{"dfp_debug_tcp_format": "%ci %ST"})
	if err != nil || s.TCPLogFormat != "%ci %ST" || rules(c).ReqMode != "tcp" {
		t.Errorf("%v %q %+v", err, s.TCPLogFormat, c.Edge)
	}
	for variable, text := range map[string]string{"DEFAULT_REQ_MODE": "udp", "DEBUG_TCP_FORMAT": "a\nb"} {
		if _, _, err := settle(t, map[string]string{variable: text}, nil); err == nil || !strings.Contains(err.Error(), strings.ToLower(strings.ReplaceAll(variable, "_", "-"))) {
			t.Errorf("%s: %v", variable, err)
		}
	}
}

// TestThePublishedSettingsAreThoseOfFlags: each is a setting and no secret, but for what
// only says whether there is a secret, and shows what the setting shows.
func TestThePublishedSettingsAreThoseOfFlags(t *testing.T) {
	fs := flag.NewFlagSet("proxy", flag.ContinueOnError)
	new(app.Common).Flags(fs)
	var c Config
	c.Flags(fs)
	public := app.Settings(fs)
	for name, text := range c.Published(fs.Lookup("admin").Value.String()) {
		if shown, ok := public[name]; name != judge.OperatorUsers && (!ok || shown != text) {
			t.Errorf("%s=%q is published, shown is %q", name, text, shown)
		}
	}
}
