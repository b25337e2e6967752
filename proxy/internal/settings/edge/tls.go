package edge

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// TLS says how clients are spoken to on ports with TLS.
type TLS struct {
	// H2 offers HTTP/2 besides HTTP/1.1.
	H2 bool
	// H3 offers HTTP/3 on the same ports by UDP. H3Port is the port that clients are told
	// of, 0 that by which they came.
	H3     bool
	H3Port int
	// MinVer and MaxVer are versions such as "TLSv1.2"; without MaxVer the newest.
	MinVer, MaxVer string
	// Options are further words of ssl-default-bind-options.
	Options []string
	// Ciphers are those up to TLS 1.2, Ciphersuites those of TLS 1.3.
	Ciphers, Ciphersuites string
	// CAFile holds the authorities of client certificates; empty: none are asked for.
	CAFile string
	// CRLFile holds the lists of certificates that these authorities have revoked; empty: none.
	CRLFile string
}

// The defaults are Mozilla's intermediate ones: every client of the last ten years,
// authenticated encryption and forward secrecy only.
const (
	DefaultMinVer       = "TLSv1.2"
	DefaultCiphers      = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
	DefaultCiphersuites = "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
)

// tlsVersions are in ascending order.
func tlsVersions() []string { return []string{"TLSv1.0", "TLSv1.1", "TLSv1.2", "TLSv1.3"} }

var cipherRE = regexp.MustCompile(`^[A-Za-z0-9:+!@=_.-]*$`)

// ParseTLS reads the floor, the words of ssl-bind-options and the ciphers. HAProxy
// ignores the older words no-sslv3 and no-tlsv1x beside a floor, so they become
// part of the range here.
func ParseTLS(minVer, options, ciphers, ciphersuites string) (TLS, error) {
	t := TLS{MinVer: minVer, Ciphers: ciphers, Ciphersuites: ciphersuites}
	if !cipherRE.MatchString(ciphers) || !cipherRE.MatchString(ciphersuites) {
		return t, errors.New("ciphers: want names as OpenSSL lists them, separated by colons")
	}
	versions := tlsVersions()
	floor, top := slices.Index(versions, minVer), len(versions)-1
	if floor < 0 {
		return t, fmt.Errorf("ssl-min-ver: %q: want one of %s", minVer, strings.Join(versions, ", "))
	}
	words := strings.FieldsFunc(options, func(r rune) bool { return r == ' ' || r == ',' })
	for i := 0; i < len(words); i++ {
		word := words[i]
		verb, old, _ := strings.Cut(word, "-")
		at := slices.IndexFunc(versions, func(v string) bool { return strings.EqualFold(strings.ReplaceAll(v, ".", ""), old) })
		switch {
		case word == "no-sslv3": // below every floor
		case verb == "no" && at == len(versions)-1:
			top = min(top, at-1)
		case verb == "no" && at >= 0:
			floor = max(floor, at+1)
		case verb == "force" && at >= 0:
			floor, top = at, at
		case (word == "ssl-min-ver" || word == "ssl-max-ver") && i+1 < len(words) && slices.Contains(versions, words[i+1]):
			at, i = slices.Index(versions, words[i+1]), i+1
			if word == "ssl-min-ver" {
				floor = at
			} else {
				top = at
			}
		case word == "no-tls-tickets" || word == "prefer-client-ciphers":
			t.Options = append(t.Options, word)
		default:
			return t, fmt.Errorf("ssl-bind-options: %q: want ssl-min-ver VERSION, ssl-max-ver VERSION, no-tls-tickets, prefer-client-ciphers, no-sslv3, no-tlsv10 to no-tlsv13 or force-tlsv10 to force-tlsv13", word)
		}
	}
	if floor > top {
		return t, errors.New("ssl-bind-options: no version of TLS is left")
	}
	t.MinVer = versions[floor]
	if top < len(versions)-1 {
		t.MaxVer = versions[top]
	}
	return t, nil
}
