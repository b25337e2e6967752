package render

import (
	"slices"
	"strings"

	"github.com/haproxytech/client-native/v6/models"

	"github.com/wagglehq/waggle/proxy/internal/haproxy/file"
	"github.com/wagglehq/waggle/proxy/internal/wish/route"
)

// challengePath is where an authority asks whose a host is (RFC 8555, 8.3).
const challengePath = "/.well-known/acme-challenge/"

// Challenge is a question of an authority with its answer.
type Challenge struct{ Host, Token, Answer string }

// SetChallenges gives the questions that HAProxy answers, each for its host alone. Whatever else
// is asked for below that path goes its usual way.
func (r *Renderer) SetChallenges(challenges []Challenge) {
	r.challenges = make([]route.Entry, 0, len(challenges))
	for _, c := range challenges {
		if plainToken(c.Token) && plainToken(strings.Replace(c.Answer, ".", "", 1)) {
			r.challenges = append(r.challenges, route.Entry{Key: strings.ToLower(c.Host) + challengePath + c.Token, Value: c.Answer})
		}
	}
	slices.SortFunc(r.challenges, func(a, b route.Entry) int { return strings.Compare(a.Key, b.Key) })
}

// plainToken reports whether a text is made of the characters that tokens have, so that it is one
// word in a table.
func plainToken(text string) bool {
	return text != "" && strings.Trim(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") == ""
}

// challenges answers authorities before anything else is done with a request, so that nothing that
// a service says of its requests, such as that they come by TLS, keeps it from getting its
// certificate.
func (r *rules) challenges(s Settings) {
	if !s.Challenges {
		return
	}
	asks := file.Is(file.OfRequest("path"), bare("-m", "beg", challengePath)...)
	r.set("challenge", "path", file.If(asks))
	r.set("challenge", "var(txn.host),concat(,txn.challenge),map_str("+s.MapPath(file.ChallengesMap)+",no)", file.If(asks))
	var answer file.Formatter
	answer.Fetch(file.Variable("challenge"))
	r.onRequest(models.HTTPRequestRule{
		Type: "return", ReturnStatusCode: pointer(int64(200)), ReturnContentType: pointer("text/plain"),
		ReturnContentFormat: "lf-string", ReturnContent: answer.Format().String(),
	}, file.If(asks, file.Not(file.Is(file.Variable("challenge"), bare("-m", "str", "no")...))), answer.Format())
}
