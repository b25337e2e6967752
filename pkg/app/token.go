package app

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// AlertmanagerUser is whom Alertmanager asks for a password.
const AlertmanagerUser = "waggle"

// MinToken is how long a token must be, in bytes.
const MinToken = 16

// Token is a Secret that somebody must send, or from which keys are made. Several are
// separated by white space: each is accepted, so that one can be replaced while the other
// still counts, and the first is the one that is sent. Whether each is long enough is seen
// when the command line has been read.
type Token Secret

// String hides the value.
func (t *Token) String() string { return Secret(*t).String() }

// LogValue hides the value from logs.
func (t *Token) LogValue() slog.Value { return slog.StringValue(t.String()) }

// Set is for the flag package.
func (t *Token) Set(text string) error {
	*t = Token(text)
	return nil
}

// check returns what is wrong with a token, nil if nothing is.
func (t *Token) check() error {
	for _, one := range strings.Fields(string(*t)) {
		if len(one) < MinToken {
			return fmt.Errorf("want at least %d bytes, and this has %d", MinToken, len(one))
		}
	}
	return nil
}

// TokenVar declares a flag for a token.
func TokenVar(fs *flag.FlagSet, s *Secret, name, usage string) { fs.Var((*Token)(s), name, usage) }

// IsSecret tells whether a flag's text is shown nowhere.
func IsSecret(f *flag.Flag) bool {
	switch f.Value.(type) {
	case *Secret, *Token:
		return true
	}
	return false
}

// checkTokens returns which tokens are too short, by their settings.
func checkTokens(fs *flag.FlagSet) error {
	var errs []error
	fs.VisitAll(func(f *flag.Flag) {
		if t, ok := f.Value.(*Token); ok {
			if err := t.check(); err != nil {
				errs = append(errs, fmt.Errorf("%s (%s): %w", f.Name, Variable(f.Name), err))
			}
		}
	})
	return errors.Join(errs...)
}

// First is the one of several that is sent, or from which keys are made.
func (s Secret) First() string {
	if all := strings.Fields(string(s)); len(all) > 0 {
		return all[0]
	}
	return ""
}

// And are the tokens of both.
func (s Secret) And(other Secret) Secret {
	return Secret(strings.TrimSpace(string(s) + " " + string(other)))
}

// admits reports whether a text is one of the tokens. It takes as long for one as for another.
func (s Secret) admits(given string) bool {
	found := 0
	for _, one := range strings.Fields(string(s)) {
		found |= subtle.ConstantTimeCompare([]byte(given), []byte(one))
	}
	return found == 1
}

// givenToken is what a request gives as its token. The scheme is a word in any case of letters (RFC
// 9110, 11.1).
func givenToken(r *http.Request) (given string, ok bool) {
	if scheme, given, _ := strings.Cut(r.Header.Get("Authorization"), " "); strings.EqualFold(scheme, "Bearer") {
		given = strings.TrimLeft(given, " ")
		return given, given != ""
	}
	_, given, ok = r.BasicAuth()
	return given, ok
}

// RequireToken lets a request through only with "Authorization: Bearer <token>", or
// with the token as the password of basic authentication, whoever the user is.
// Without a token configured, every request is refused. A browser that another site has
// led here is refused too, since it sends a password that it knows without being asked.
func RequireToken(token Secret) func(http.Handler) http.Handler {
	return RequireTokenUnless(token, nil)
}

// TellWrongToken answers with 403 to a token that is wrong, before RequireToken would say 401
// to that as to none.
func TellWrongToken(token Secret) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			given, ok := givenToken(r)
			if ok && token.First() != "" && !token.admits(given) {
				WriteError(w, http.StatusForbidden, errors.New("wrong token: it is that of this component that is wanted"))
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}

// RequireTokenUnless is RequireToken for requests that do not come from these networks.
func RequireTokenUnless(token Secret, from []netip.Prefix) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			given, ok := givenToken(r)
			switch {
			case crossSite(r):
				WriteError(w, http.StatusForbidden, errors.New("another site has led the browser here"))
			case among(from, r.RemoteAddr):
				next.ServeHTTP(w, withCaller(r, "no token"))
			case token.First() == "":
				WriteError(w, http.StatusForbidden, errors.New("no token is configured, so this is closed"))
			case !ok || !token.admits(given):
				w.Header().Add("WWW-Authenticate", "Bearer")
				w.Header().Add("WWW-Authenticate", `Basic realm="waggle"`)
				WriteError(w, http.StatusUnauthorized, errors.New("wrong or missing token: send Authorization: Bearer TOKEN, or TOKEN as a password"))
			default:
				sum := sha256.Sum256([]byte(given))
				next.ServeHTTP(w, withCaller(r, "token "+hex.EncodeToString(sum[:])[:shownHash]))
			}
		})
	}
}

// shownHash is how many digits of the hash of a token are told: enough to tell tokens apart, and
// too few to find one by.
const shownHash = 8

type callerKey struct{}

func withCaller(r *http.Request, who string) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), callerKey{}, who))
}

// CallerOf is who asks, as an audit may have it: "token " and the beginning of its hash, or "no
// token" where none is needed; empty for a request that no RequireToken has seen.
func CallerOf(r *http.Request) string {
	who, _ := r.Context().Value(callerKey{}).(string)
	return who
}

// among reports whether a request's address is in one of the networks.
func among(from []netip.Prefix, remote string) bool {
	a, err := netip.ParseAddrPort(remote)
	return err == nil && slices.ContainsFunc(from, func(p netip.Prefix) bool { return p.Contains(a.Addr().Unmap()) })
}

// crossSite reports whether a browser says that a page of another site asks. Newer ones say
// it in Sec-Fetch-Site, all of them in Origin where something may be changed.
func crossSite(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "same-origin", "none":
	default:
		return true
	}
	origin := r.Header.Get("Origin")
	if origin == "" {
		return false
	}
	u, err := url.Parse(origin)
	return err != nil || !strings.EqualFold(u.Host, r.Host)
}
