package app

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Option changes where settings are read from.
type Option func(*sources)

// SecretFiles lets a file stand for any setting: the one in the folder that the
// setting dirFlag names whose name is prefix with the setting's variable in lower
// case behind it ("dfp_stats_pass"). It wins over the variable, as it did in
// Docker Flow Proxy, and loses against the command line. Beside the variable with
// _FILE, which names a secret too, it is an error.
func SecretFiles(dirFlag, prefix string) Option {
	return func(s *sources) { s.dirFlag, s.prefix = dirFlag, prefix }
}

// sources are the places besides the command line and the variables.
type sources struct{ dirFlag, prefix, dir string }

// secretFrom says in messages that a text came from such a file; it is not shown.
const secretFrom = "the secret "

// find learns the folder of the secrets, which is a setting itself.
func (s *sources) find(set *flag.FlagSet, given map[string]bool, env lookup) error {
	if s.dirFlag == "" {
		return nil
	}
	if !given[s.dirFlag] {
		text, from, err := fromEnvironment(s.dirFlag, env)
		if err != nil {
			return err
		}
		if from != "" {
			if err := set.Set(s.dirFlag, text); err != nil {
				return fmt.Errorf("%s=%q: %w", from, text, err)
			}
		}
	}
	s.dir = set.Lookup(s.dirFlag).Value.String()
	return nil
}

// text returns a setting's text and where it came from, "" if from nowhere.
func (s *sources) text(flagName string, env lookup) (text, from string, err error) {
	text, from, err = fromEnvironment(flagName, env)
	if err != nil || s.dirFlag == "" || flagName == s.dirFlag {
		return text, from, err
	}
	variable := Variable(flagName)
	name := s.prefix + strings.ToLower(variable)
	secret, ok, err := ReadSecret(s.dir, name)
	if err != nil || !ok {
		return text, from, err
	}
	if from == variable+"_FILE" {
		return "", "", fmt.Errorf("%s and the secret %s are both there: one is enough", from, name)
	}
	return secret, secretFrom + name, nil
}

// ReadSecret reads a secret from its folder; white space at its end is dropped. ok
// is false if there is none of this name.
func ReadSecret(dir, name string) (text string, ok bool, err error) {
	content, err := os.ReadFile(filepath.Join(dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return "", false, nil
	}
	if err != nil {
		return "", false, fmt.Errorf("secret: %w", err)
	}
	return strings.TrimRight(string(content), " \t\r\n"), true, nil
}
