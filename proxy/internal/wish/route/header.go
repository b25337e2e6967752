package route

import (
	"regexp"
	"slices"
	"strings"
)

// ParseHeader reads an element of a list of header actions: a name, with a value unless
// the header is deleted, and perhaps a condition. Without the last result it is right;
// otherwise that says what would be, instead of the part before it.
func ParseHeader(verb string, response bool, text string) (a HeaderAction, part, want string) {
	a = HeaderAction{Verb: verb, Response: response}
	text, cond, ok := cutCondition(text)
	if !ok {
		return a, cond, "one of: if|unless { ssl_fc }, { method NAME }, { path_beg TEXT }"
	}
	a.If = parseCondition(cond)
	header, value, _ := strings.Cut(strings.TrimSpace(text), " ")
	value = strings.TrimSpace(value)
	if !Token(header) || (verb == "del") != (value == "") {
		return a, text, `headers such as "X-Name value", with conditions such as "if { ssl_fc }"`
	}
	a.Name = header
	if verb == "del" {
		return a, "", ""
	}
	if a.Value, ok = format(unquote(value), response); ok {
		return a, "", ""
	}
	if _, inRequest := format(unquote(value), false); inRequest {
		return a, value, "text with " + expressions(response) + ": the headers of the request are no longer there when it is answered"
	}
	return a, value, "text with " + expressions(response)
}

// expressions are those that may stand in the value of a header, as a user writes them.
func expressions(response bool) string {
	var out []string
	for _, f := range fetches() {
		if !response {
			out = append(out, "%["+f.shown+"]")
		} else if f.response {
			out = append(out, "%["+f.name+"]")
		}
	}
	return strings.Join(out, " ")
}

// fetch is what HAProxy puts in place of an expression.
type fetch struct {
	name, shown string
	// response says that it is still there when the request is answered.
	response bool
}

func fetches() []fetch {
	return []fetch{
		{"dst_port", "dst_port", true}, {"src", "src", true}, {"src_port", "src_port", true}, {"req.hdr", "req.hdr(Name)", false},
		{"ssl_fc_sni", "ssl_fc_sni", true}, {"unique-id", "unique-id", true},
	}
}

var headerFetch = regexp.MustCompile(`^(req\.hdr)\([A-Za-z0-9_-]+\)$`)

// fetchable reports whether an expression may stand in a value.
func fetchable(text string, response bool) bool {
	name := text
	if m := headerFetch.FindStringSubmatch(text); m != nil {
		name = m[1]
	} else if text == "req.hdr" {
		return false
	}
	return slices.ContainsFunc(fetches(), func(f fetch) bool { return f.name == name && (f.response || !response) })
}

// unquote takes off the quotes, or the backslashes before spaces, that a value of several
// words needed in HAProxy's own language.
func unquote(text string) string {
	text = strings.ReplaceAll(text, `\ `, " ")
	if len(text) >= 2 && text[0] == '"' && text[len(text)-1] == '"' {
		return text[1 : len(text)-1]
	}
	return text
}

var conditionRE = regexp.MustCompile(`^(.*?)\s+((if|unless)\s+\{\s*(ssl_fc|method\s+[A-Z][A-Z0-9_-]{0,31}|path_beg\s+/[!-|~]*)\s*\})$`)

// cutCondition takes the condition off a header action. It is not ok if there is
// one that is not understood, which is then the second result.
func cutCondition(text string) (rest, cond string, ok bool) {
	text = strings.TrimSpace(text)
	if m := conditionRE.FindStringSubmatch(text); m != nil {
		return m[1], m[2], true
	}
	for _, word := range []string{" if ", " unless "} {
		if i := strings.LastIndex(text, word); i >= 0 && strings.ContainsAny(text[i:], "{}") {
			return text[:i], strings.TrimSpace(text[i:]), false
		}
	}
	return text, "", true
}

func parseCondition(text string) *HeaderCondition {
	if text == "" {
		return nil
	}
	f := strings.Fields(strings.NewReplacer("{", " ", "}", " ").Replace(text))
	c := &HeaderCondition{Unless: f[0] == "unless", Kind: f[1]}
	if len(f) > 2 {
		c.Value = f[2]
		if c.Kind == "path_beg" {
			c.Value = CanonicalPart(c.Value)
		}
	}
	return c
}

// format reads a value with the expressions that are allowed in it.
func format(text string, response bool) ([]Part, bool) {
	if !Visible(text) {
		return nil, false
	}
	var out []Part
	for text != "" {
		i := strings.Index(text, "%[")
		if i < 0 {
			return append(out, Part{Text: text}), true
		}
		if i > 0 {
			out = append(out, Part{Text: text[:i]})
		}
		end := strings.IndexByte(text[i:], ']')
		if end < 0 || !fetchable(text[i+2:i+end], response) {
			return nil, false
		}
		out = append(out, Part{Fetch: text[i+2 : i+end]})
		text = text[i+end+1:]
	}
	return out, true
}
