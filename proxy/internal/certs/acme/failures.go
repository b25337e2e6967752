package acme

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/mholt/acmez/v3/acme"

	"github.com/wagglehq/waggle/proxy/internal/certs/vault"
)

// dnsError is one of the provider of DNS, oddError what was not expected.
type (
	dnsError struct{ error }
	oddError struct{ error }
)

// Unwrap returns what there was.
func (e *dnsError) Unwrap() error { return e.error }

// Unwrap returns what there was.
func (e *oddError) Unwrap() error { return e.error }

// slowError says that the authority is at it for longer than it was waited for.
type slowError struct{ error }

// readyError says that not even this replica could answer the authority's question.
type readyError struct{ error }

// kindOf sorts an error into one of the kinds, empty for none.
func kindOf(err error) string {
	var (
		problem acme.Problem
		dns     *dnsError
		odd     *oddError
		unready *readyError
		late    *slowError
		network net.Error
		address *url.Error
	)
	switch {
	case err == nil:
		return ""
	case errors.As(err, &problem):
		return kindOfProblem(problem.Type)
	case errors.As(err, &dns):
		return kindDNS
	case errors.As(err, &late):
		return kindSlow
	case errors.As(err, &unready):
		return kindHTTP
	case errors.As(err, &odd):
		return kindOdd
	case errors.Is(err, vault.ErrNotReady), errors.Is(err, vault.ErrNoKey):
		return kindBus
	case errors.As(err, &network), errors.As(err, &address), errors.Is(err, context.DeadlineExceeded):
		return kindAway
	}
	return kindOdd
}

// kindOfProblem is the last word of a type of problem, if it is one that an authority may use. No other
// word becomes a label of a metric, or one of our own kinds.
func kindOfProblem(text string) string {
	word, ok := strings.CutPrefix(text, acme.ProblemTypeNamespace)
	if !ok || !slices.Contains(problems(), word) {
		return kindUnknown
	}
	return word
}

// problems are the types of RFC 8555, 6.7, and of its extensions.
func problems() []string {
	return []string{
		"accountDoesNotExist", "alreadyReplaced", "alreadyRevoked", "badCSR", "badNonce", "badPublicKey", "badRevocationReason", "badSignatureAlgorithm",
		"caa", "compound", "conflict", "connection", "dns", "externalAccountRequired", "incorrectResponse", "invalidContact", "invalidProfile", "malformed",
		"orderNotReady", "rateLimited", "rejectedIdentifier", "serverInternal", "tls", "unauthorized", "unsupportedContact", "unsupportedIdentifier",
		"userActionRequired",
	}
}

// plain takes out of a text what could be a command to a terminal.
func plain(text string) string {
	return strings.Join(strings.FieldsFunc(text, func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) }), " ")
}

// said are the words for an error that people need.
func said(err error) string {
	var problem acme.Problem
	text := err.Error()
	if errors.As(err, &problem) {
		text = cmp.Or(problem.Detail, problem.Title, problem.Type)
		for _, sub := range problem.Subproblems {
			text += "; " + sub.Detail
		}
	}
	const most = 400
	text = plain(text)
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "..."
	}
	return text
}

// hint says what to do against a failure.
func hint(f Failure, host string, isDNS bool) string {
	switch f.Kind {
	case "connection", "tls":
		return fmt.Sprintf("port 80 of %s must lead to this proxy from everywhere: see where its A and AAAA records lead, and whether the port is published and no firewall is before it", host)
	case "dns":
		return fmt.Sprintf("%s needs an A or AAAA record that leads to this proxy, and name servers that answer", host)
	case "unauthorized", "incorrectResponse":
		if isDNS {
			return fmt.Sprintf("the record _acme-challenge.%s must be seen by everybody: see which name servers the domain really has", strings.TrimPrefix(host, "*."))
		}
		return fmt.Sprintf("somebody else answered for %s at port 80: see where its A and AAAA records lead, and what stands before this proxy", host)
	case "userActionRequired":
		return "the authority wants something to be done there, such as to agree to new terms: see the address that it names"
	case kindSlow:
		return "the authority is still at it: the same order goes on by itself"
	case "caa":
		return "a CAA record of the domain lets only other authorities give certificates for it"
	case "rateLimited":
		return "the authority's limit is reached: it is tried again by itself; for trying things out there is ACME_DIRECTORY=staging"
	case "rejectedIdentifier":
		return "the authority gives no certificate for such a name"
	case "externalAccountRequired":
		return "the authority wants ACME_EAB_KEY_ID and ACME_EAB_KEY"
	case "invalidContact", "unsupportedContact":
		return "ACME_EMAIL must be an address that the authority can write to"
	case kindAway:
		return "the proxy must reach the authority's directory by HTTPS: see its network, its DNS, and ACME_CA if the authority is your own"
	case kindDNS:
		return "see ACME_DNS and the credentials that it needs"
	case kindHTTP:
		return "HAProxy did not take the answer: see the proxy's log"
	case kindBus:
		return "the bus does not answer, or neither SEAL_KEY nor TOKEN is set"
	}
	return "the proxy's log says more; it is tried again by itself"
}

// Trouble is what is wrong with a name. Label is that which asks for what cannot be had, empty if
// it can.
type Trouble struct{ Label, Reason, Hint string }

// unopened tells that what is known of a host cannot be opened, so that nothing can be written
// either: what the proxy has on its disk is served.
func unopened(host string, err error) Trouble {
	return Trouble{
		Reason: fmt.Sprintf("the certificate for %s can be neither obtained nor renewed: %v", host, err),
		Hint:   "SEAL_KEY_OTHER names the secret that sealed it, until it is sealed anew",
	}
}

// trouble tells a failure.
func trouble(r Record, s Settings, isDNS bool) Trouble {
	what := "no certificate for " + r.Host
	if r.Chain != "" {
		what = fmt.Sprintf("the certificate for %s, which is good until %s, is not renewed", r.Host, r.Until.Format(time.RFC3339))
	}
	tries := "after one try"
	if r.Failures > 1 {
		tries = fmt.Sprintf("after %d tries", r.Failures)
	}
	who := s.name(r.Last.Authority) + " says"
	switch r.Last.Kind {
	case kindSlow:
		who = s.name(r.Last.Authority) + " is slow"
	case kindAway:
		who = s.name(r.Last.Authority) + " is away"
	case kindDNS:
		who = "the provider of DNS says"
	case kindHTTP, kindOdd, kindBus:
		who = s.name(r.Last.Authority)
	}
	return Trouble{
		Reason: fmt.Sprintf("%s %s: %s: %s (%s); tried again at %s", what, tries, who, r.Last.Said, r.Last.Kind, r.Next.UTC().Format(time.RFC3339)),
		Hint:   hint(*r.Last, r.Host, isDNS),
	}
}
