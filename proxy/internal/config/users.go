package config

import (
	"slices"
	"strings"

	"github.com/wagglehq/waggle/proxy/internal/route"
)

// SetSecrets gives the contents of secrets with users, by the names that labels call
// them by. One that is not there is no part of the map.
func (r *Renderer) SetSecrets(contents map[string]string) { r.secrets = contents }

// userList writes a list of users, which may be empty: then nobody gets in. The second
// result says what is wrong with it.
func (r *Renderer) userList(u route.Users) (section string, faults []string) {
	secret, there := r.secrets[u.Secret]
	list, faults := u.Resolve(secret, there, r.settings.Separator, r.settings.Users)
	var b strings.Builder
	b.WriteString("userlist " + u.List + "\n")
	for _, user := range list {
		kind := "insecure-password"
		if user.Encrypted {
			kind = "password"
		}
		b.WriteString(userLine + quote(user.Name) + " " + kind + " " + quote(user.Password) + "\n")
	}
	for i := range faults {
		faults[i] = u.List + ": " + faults[i]
	}
	return b.String(), faults
}

const userLine = "  user "

// Redact takes out of HAProxy's words about a configuration what may be a password:
// HAProxy repeats lines and words that it does not understand.
func Redact(words, configuration string) string {
	var secrets []string
	for line := range strings.Lines(configuration) {
		text, ok := strings.CutPrefix(strings.TrimSpace(line), "stats auth ")
		if strings.HasPrefix(line, userLine) {
			_, text, ok = strings.Cut(line, "password ")
		}
		if ok {
			// As it is written, and as HAProxy reads it.
			text = strings.TrimSpace(text)
			secrets = append(secrets, text, unquote(text))
		}
	}
	var out strings.Builder
	for line := range strings.Lines(words) {
		if slices.ContainsFunc(secrets, func(s string) bool { return s != "" && strings.Contains(line, s) }) {
			place, _, _ := strings.Cut(line, "] :")
			line = place + "] : it is hidden what is wrong there, because a password may be\n"
		}
		out.WriteString(line)
	}
	return out.String()
}

// unquote is the opposite of quote.
func unquote(word string) string {
	if !strings.HasPrefix(word, "'") {
		return word
	}
	return strings.ReplaceAll(word[1:len(word)-1], `'\''`, "'")
}
