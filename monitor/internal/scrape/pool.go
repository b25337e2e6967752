package scrape

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/label"
)

// SecretPrefix is how the names of secrets begin that are sent to tasks.
const SecretPrefix = "dfm_auth_"

// Pool is what Prometheus cannot be told of each target alone: who it says it is, and how much
// it takes of one answer. The zero value is nobody, and what the operator's settings say.
type Pool struct {
	// Secret is the end of the name of the secret that Prometheus sends: a token, or with
	// User a password.
	Secret, User string
	// Samples and Body bound an answer. Body is a size as Prometheus writes it.
	Samples int
	Body    string
}

// ID tells pools apart in names of files; it is empty for the zero value.
func (p Pool) ID() string {
	if p == (Pool{}) {
		return ""
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%q", []string{p.Secret, p.User, strconv.Itoa(p.Samples), p.Body}))
	return hex.EncodeToString(sum[:6])
}

// String is what the pool is in words, as its name among Prometheus' jobs ends.
func (p Pool) String() string {
	var words []string
	if p.Secret != "" {
		words = append(words, "secret "+p.Secret)
	}
	if p.User != "" {
		// Quoted, because a user may be called like the words of another pool, and Prometheus
		// loads nothing while two jobs have one name.
		words = append(words, "user "+strconv.Quote(p.User))
	}
	if p.Samples > 0 {
		words = append(words, fmt.Sprintf("%d samples", p.Samples))
	}
	if p.Body != "" {
		words = append(words, p.Body)
	}
	return strings.Join(words, ", ")
}

// Pooled are the targets of one pool, of a kind other than the zero value.
type Pooled struct {
	Pool
	Targets []Target
	// File is what Prometheus reads of them.
	File []byte
}

// Pools sorts targets by their pools: those of the zero value, and the others by ID.
func Pools(targets []Target) (plain []Target, others []Pooled, err error) {
	byID := map[string]*Pooled{}
	for _, t := range targets {
		id := t.pool.ID()
		if id == "" {
			plain = append(plain, t)
			continue
		}
		if byID[id] == nil {
			byID[id] = &Pooled{Pool: t.pool}
		}
		byID[id].Targets = append(byID[id].Targets, t)
	}
	for _, id := range slices.Sorted(maps.Keys(byID)) {
		one := *byID[id]
		if one.File, err = Render(one.Targets); err != nil {
			return nil, nil, err
		}
		others = append(others, one)
	}
	return plain, others, nil
}

var sizePattern = regexp.MustCompile(`^([1-9][0-9]{0,9})(B|[KMGTPE]i?B)$`)

// Bytes reads a size as Prometheus writes it, such as 50MB, of which a kilobyte has 1,024 bytes.
// It is false for a text that is none, or more than Prometheus can count.
func Bytes(text string) (uint64, bool) {
	m := sizePattern.FindStringSubmatch(text)
	if m == nil {
		return 0, false
	}
	n, err := strconv.ParseUint(m[1], 10, 64)
	shift := 10 * (strings.IndexByte("BKMGTPE", m[2][0]))
	return n << shift, err == nil && n <= math.MaxInt64>>shift
}

// pool reads what the targets of an index share.
func pool(g label.Group, svc catalog.Service, s Settings) Pool {
	p := Pool{Secret: g.Word(labelSecret, ""), User: strings.TrimSpace(g.Text(labelUser, ""))}
	if p.Secret != "" && p.Secret != svc.Name && (svc.Stack == "" || p.Secret != svc.Stack) {
		own := svc.Name
		if svc.Stack != "" {
			own += " or " + svc.Stack
		}
		g.Reject(labelSecret, own+": a secret is sent to that service or stack alone whose name it has")
	}
	if p.User != "" && p.Secret == "" {
		g.Reject(labelUser, "a user beside "+g.Label(labelSecret)+", which names his password")
	}
	if strings.ContainsFunc(p.User, func(c rune) bool { return c == ':' || c < ' ' || c == 0x7f || c == '\ufffd' }) {
		g.Reject(labelUser, "a user's name on one line, in UTF-8 and without a colon")
	}
	if g.Has(labelSamples) {
		most := s.MaxSamples
		if most == 0 {
			most = 1_000_000_000
		}
		p.Samples = g.Int(labelSamples, 0, 1, most)
	}
	if g.Has(labelBody) {
		p.Body = g.Word(labelBody, "")
		most, limited := Bytes(s.MaxBody)
		switch n, ok := Bytes(p.Body); {
		case !ok:
			g.Reject(labelBody, "a size such as 5MB")
		case limited && n > most:
			g.Reject(labelBody, "at most "+s.MaxBody+", monitor's -body-limit-max")
		}
	}
	return p
}
