package render

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/wagglehq/waggle/proxy/internal/wish/route"
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
// what it says about lines that hold one, and what repeats one.
func Redact(words, configuration string) string {
	var secrets []string
	numbers := map[string]bool{}
	n := 0
	for line := range strings.Lines(configuration) {
		n++
		text, ok := strings.CutPrefix(strings.TrimSpace(line), "stats auth ")
		if strings.HasPrefix(line, userLine) {
			_, text, ok = strings.Cut(line, "password ")
		}
		if ok {
			// As it is written, and as HAProxy reads it.
			text = strings.TrimSpace(text)
			secrets, numbers[strconv.Itoa(n)] = append(secrets, text, unquote(text)), true
		}
	}
	var out strings.Builder
	hidden := false
	for line := range strings.Lines(words) {
		// A message may go on, for one with the line that it is about.
		if strings.HasPrefix(line, "[") {
			m := place.FindStringSubmatch(line)
			hidden = m != nil && numbers[m[1]]
		}
		if hidden || slices.ContainsFunc(secrets, func(s string) bool { return s != "" && strings.Contains(line, s) }) {
			if where, _, ok := strings.Cut(line, "]:"); ok {
				line = where + "]: "
			} else if where, _, ok := strings.Cut(line, "] :"); ok {
				line = where + "] : "
			} else {
				line = ""
			}
			line += "(hidden, because it is about a password)\n"
		}
		out.WriteString(line)
	}
	return out.String()
}

// place is where HAProxy names a line of the file.
var place = regexp.MustCompile(`parsing \[[^\]]*:([0-9]+)\]`)

// unquote is the opposite of quote.
func unquote(word string) string {
	inner, ok := strings.CutPrefix(word, "'")
	if !ok {
		return word
	}
	return strings.ReplaceAll(strings.TrimSuffix(inner, "'"), `'\''`, "'")
}
