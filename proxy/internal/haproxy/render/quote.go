package render

import (
	"fmt"
	"strings"

	"github.com/wagglehq/waggle/proxy/internal/wish/route"
)

// quote makes one word of HAProxy's language of any text without control
// characters; the parsers of labels admit no others. The library does not quote.
func quote(text string) string {
	if text != "" && strings.Trim(text, plain) == "" {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}

// plain are the characters that mean themselves outside quotes.
const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:,@+=*~^"

// format makes one word of a header's value: text, in which a percent sign must be
// doubled, and expressions from a closed set.
func format(parts []route.Part) string {
	var b strings.Builder
	for _, p := range parts {
		if p.Fetch != "" {
			b.WriteString("%[" + p.Fetch + "]")
			continue
		}
		b.WriteString(strings.ReplaceAll(p.Text, "%", "%%"))
	}
	return quote(b.String())
}

// test writes a condition as an anonymous ACL. "--" keeps a value that begins with
// a dash from being read as a flag.
func test(c route.Condition) string {
	words := []string{fetch(c), "-m " + string(c.Match)}
	if c.IgnoreCase {
		words = append(words, "-i")
	}
	words = append(words, "--")
	for _, v := range c.Values {
		words = append(words, quote(v))
	}
	not := ""
	if c.Not {
		not = "!"
	}
	return not + "{ " + strings.Join(words, " ") + " }"
}

func fetch(c route.Condition) string {
	switch c.Fetch {
	case route.FetchPath:
		return "var(txn.path)"
	case route.FetchHost:
		return "var(txn.host)"
	case route.FetchPort:
		return "dst_port"
	}
	return "req.fhdr(" + c.Header + ")"
}

// headerTest writes the condition of a header action.
func headerTest(c *route.HeaderCondition) (cond, text string) {
	if c == nil {
		return "", ""
	}
	cond = "if"
	if c.Unless {
		cond = "unless"
	}
	if c.Kind == "ssl_fc" {
		return cond, "{ ssl_fc }"
	}
	return cond, fmt.Sprintf("{ %s -- %s }", c.Kind, quote(c.Value))
}
