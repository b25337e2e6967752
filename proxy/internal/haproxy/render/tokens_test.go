package render

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/wagglehq/waggle/proxy/internal/haproxy/file"
)

// word is one word of HAProxy's language. A quoted brace is text, a bare one is not.
type word struct {
	text   string
	quoted bool
}

// tokens takes a line apart as HAProxy does. What no line of ours may hold is an error: a
// comment, a variable of the environment, a quote without end, a control character.
func tokens(line string) ([]word, error) {
	var out []word
	var text strings.Builder
	inside, quoted := false, false
	end := func() {
		if inside {
			out = append(out, word{text.String(), quoted})
		}
		text.Reset()
		inside, quoted = false, false
	}
	var quote byte
	for i := 0; i < len(line); i++ {
		c := line[i]
		switch {
		case c < ' ' || c == 0x7f:
			return nil, fmt.Errorf("control character %q", c)
		case quote == '\'' && c != '\'', quote == '"' && c != '"' && c != '\\' && c != '$':
			text.WriteByte(c)
		case quote != 0 && c == quote:
			quote = 0
		case c == '\'' || c == '"':
			quote, inside, quoted = c, true, true
		case c == '\\':
			if i++; i == len(line) {
				return nil, errors.New("backslash at the end")
			}
			text.WriteByte(line[i])
			inside, quoted = true, true
		case c == '$':
			return nil, errors.New("variable of the environment")
		case c == '#':
			return nil, errors.New("comment")
		case c == ' ':
			end()
		default:
			text.WriteByte(c)
			inside = true
		}
	}
	if quote != 0 {
		return nil, errors.New("quote without end")
	}
	end()
	return out, nil
}

func TestTokens(t *testing.T) {
	for line, want := range map[string]string{
		`  a  b`: `["a" "b"]`, `a 'b c'`: `["a" "b c"]`, `a 'b'\''c' d`: `["a" "b'c" "d"]`, `"a b"\ c`: `["a b c"]`, `''`: `[""]`, `'"#$\'`: `["\"#$\\"]`,
		"a\nb": "error", `a # b`: "error", `a $B`: "error", `a "$B"`: "error", `'a`: "error", `a\`: "error", "": "[]",
	} {
		words, err := tokens(line)
		texts := []string{}
		for _, w := range words {
			texts = append(texts, w.text)
		}
		got := fmt.Sprintf("%q", texts)
		if err != nil {
			got = "error"
		}
		if got != want {
			t.Errorf("%s gives %s (%v), want %s", line, got, err, want)
		}
	}
}

// conditional is the place of the first word of a line that can begin a condition. Before
// it stands what has its place, whatever it says.
func conditional(words []word) int {
	switch words[0].text {
	case "use_backend", "use-server":
		return 2
	case "http-request", "http-response", "http-after-response", "tcp-request", "tcp-response", "redirect", "stick":
		if len(words) > 1 && (words[1].text == "add-header" || words[1].text == "set-header") {
			return 4
		}
		return 2
	}
	return len(words)
}

// unconditional drops a condition from the end of a line and says what is wrong with it.
func unconditional(words []word) ([]word, error) {
	if len(words) == 0 {
		return nil, nil
	}
	from := min(conditional(words), len(words))
	at := slices.IndexFunc(words[from:], func(w word) bool { return !w.quoted && (w.text == "if" || w.text == "unless") })
	if at < 0 {
		return words, nil
	}
	at += from
	open := false
	for i, w := range words[at+1:] {
		switch {
		case !open && (w.text == "{" || w.text == "!{"):
			open = true
		case open && w.text == "}":
			if w.quoted {
				return nil, errors.New("a quoted brace, which ends a condition all the same")
			}
			open = false
		case !open && w.text != "||":
			return nil, fmt.Errorf("%q outside the braces of a condition", w.text)
		case open && strings.HasPrefix(w.text, "-f"):
			next := words[min(at+2+i, len(words)-1)].text
			own := w.text == "-f" && strings.HasPrefix(next, "/") && strings.HasSuffix(next, file.ListEnd)
			if !own && !slices.ContainsFunc(words[at+1:at+1+i], func(before word) bool { return before.text == "--" }) {
				return nil, errors.New("a condition that reads a file")
			}
		}
	}
	if open {
		return nil, errors.New("a condition without end")
	}
	return words[:at], nil
}

// evaluated are the expressions that may stand in what labels make. What a regular
// expression says is between quotes.
var evaluated = regexp.MustCompile(`%\[(dst_port|src|src_port|req\.hdr\([A-Za-z0-9_-]+\)|ssl_fc_sni|unique-id|http_auth_user|ssl_c_s_dn\(CN\)|var\(txn\.[a-z_]+\))\]` +
	`|^var\(txn\.(path|sent)\)(,regsub\("(\\.|[^"\\])*","(\\.|[^"\\])*"(,g)?\))*,regsub\(\^/\?,/\)$`)

// evaluates says which expression in a word is none of those that labels may make; a
// doubled percent sign is text.
func evaluates(text string) error {
	rest := strings.ReplaceAll(evaluated.ReplaceAllString(text, ""), "%%", "")
	if strings.Contains(rest, "%") {
		return fmt.Errorf("the expression in %q", text)
	}
	return nil
}

// directives are the words with which a line within a section may begin.
func directives() []string {
	return strings.Fields(`acl balance bind bind-process capture compression cookie default-server default_backend dispatch email-alert errorfile
		errorfiles filter force-persist fullconn group hash-balance-factor hash-preserve-affinity hash-type http-after-response http-check http-error
		http-request http-response http-reuse http-send-name-header id ignore-persist load-server-state-from-file log log-format log-tag maxconn
		max-keep-alive-queue mode monitor monitor-uri no option rate-limit redirect retries retry-on server server-state-file-name server-template
		source stats stick stick-table tcp-check tcp-request tcp-response timeout unique-id-format use-fcgi-app use-server use_backend user
		load crt-base key-base table peer lua-load-per-thread httpclient.resolvers.id httpclient.resolvers.prefer httpclient.timeout.connect
		httpclient.retries tune.lua.bool-sample-conversion .if .endif parse-resolv-conf resolve_retries hold set-var filter tune.bufsize tune.bufsize.small tune.memory.hot-size`)
}

// line is a line of a configuration within its section.
type line struct{ section, text string }

// lines takes a configuration apart.
func lines(text string) []line {
	var out []line
	section := ""
	for l := range strings.Lines(text) {
		l = strings.TrimSuffix(l, "\n")
		if l != "" && !strings.HasPrefix(l, " ") && !strings.HasPrefix(l, ".") {
			section = l
		}
		if l != "" {
			out = append(out, line{section, l})
		}
	}
	return out
}

// shape is what a line is apart from the texts in it: where it stands, its first word
// and how many words it has besides its condition.
func (l line) shape() (string, error) {
	words, err := tokens(l.text)
	if err != nil {
		return "", err
	}
	words, err = unconditional(words)
	if err != nil {
		return "", err
	}
	for _, w := range words {
		if len(words) > 1 && strings.HasPrefix(words[1].text, "lua.") {
			break // a script gets its words as they are
		}
		// Elsewhere, as in what a condition compares with, a percent sign means itself.
		if words[0].text == "http-request" || words[0].text == "http-response" || words[0].text == "http-after-response" {
			if err := evaluates(w.text); err != nil {
				return "", err
			}
		}
	}
	kind, _, _ := strings.Cut(l.section, " ")
	if l.section == l.text {
		if len(words) < 2 || strings.ContainsFunc(words[1].text, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`'"\#$%{}`, r) }) {
			return "", errors.New("a section with such a name")
		}
		return fmt.Sprintf("%s: %d words", kind, len(words)), nil
	}
	if len(words) == 0 || !slices.Contains(directives(), words[0].text) {
		return "", errors.New("no directive that is known")
	}
	return fmt.Sprintf("%s, %s: %d words", kind, words[0].text, len(words)), nil
}
