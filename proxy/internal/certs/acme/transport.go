package acme

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// transport keeps what an authority answers within bounds, since the library believes all of it:
// what is too long, or no answer of an authority, counts as if there were none.
type transport struct {
	http.RoundTripper
	// directory is the address whose answer is remembered for as long as the proxy runs.
	directory string
}

// The bounds of answers.
const (
	// mostAnswer is the longest one: a chain of certificates, of which all others are shorter.
	mostAnswer = 256 << 10
	// mostRetry is how long it may say that is to be waited until it is asked again how far it
	// is: within pollFor.
	mostRetry = 15 * time.Second
)

// What an authority answers and is no answer.
var (
	errLong     = errors.New("the authority's answer is too long")
	errNoFields = errors.New("the authority's directory does not say where accounts, orders and nonces are to be had")
	errLeadAway = errors.New("the authority leads to an address without TLS")
)

// RoundTrip is for the http package.
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := t.RoundTripper.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	kind, _, _ := strings.Cut(res.Header.Get("Content-Type"), ";")
	kind = strings.TrimSpace(kind)
	isProblem := kind == "application/problem+json"
	body, err := readAll(res)
	switch {
	case err != nil:
		return nil, err
	case (res.StatusCode >= http.StatusInternalServerError || res.StatusCode == http.StatusTooManyRequests) && !isProblem:
		// What stands before it answers for it.
		return nil, fmt.Errorf("HTTP %d: %.200s", res.StatusCode, strings.TrimSpace(string(body)))
	case res.StatusCode == http.StatusOK && r.URL.String() == t.directory:
		var d struct{ NewNonce, NewAccount, NewOrder string }
		if json.Unmarshal(body, &d) != nil || d.NewNonce == "" || d.NewAccount == "" || d.NewOrder == "" {
			return nil, errNoFields
		}
	}
	if r.Method == http.MethodPost {
		soon(res.Header)
	}
	if kind == "application/pem-certificate-chain" {
		res.Header["Link"] = alternates(res.Header["Link"])
	}
	res.Body, res.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	return res, nil
}

func readAll(res *http.Response) ([]byte, error) {
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(res.Body, mostAnswer+1))
	if err == nil && len(body) > mostAnswer {
		err = errLong
	}
	return body, err
}

// soon takes away a time to wait that is of no use, and shortens one that is too long.
func soon(header http.Header) {
	const name = "Retry-After"
	text := header.Get(name)
	if text == "" {
		return
	}
	wait, err := strconv.Atoi(text)
	if at, no := http.ParseTime(text); err != nil && no == nil {
		wait, err = int(time.Until(at)/time.Second), nil
	}
	if header.Del(name); err == nil && wait > 0 {
		header.Set(name, strconv.Itoa(min(wait, int(mostRetry/time.Second))))
	}
}

// mostChains is how many chains are looked at, of those that an authority offers for a certificate.
const mostChains = 8

// alternates are the links to other chains. Those to further certificates of the same chain, which
// authorities of today do not give, could lead on for ever.
func alternates(links []string) []string {
	var out []string
	for _, l := range links {
		if strings.Contains(l, `rel="alternate"`) && !strings.Contains(l, `rel="up"`) && len(out) < mostChains {
			out = append(out, l)
		}
	}
	return out
}

// onlyByTLS lets an authority lead somewhere else, but not out of TLS, and not for long.
func onlyByTLS(r *http.Request, before []*http.Request) error {
	const most = 5
	switch {
	case r.URL.Scheme != "https":
		return errLeadAway
	case len(before) >= most:
		return errors.New("the authority leads on and on")
	}
	return nil
}
