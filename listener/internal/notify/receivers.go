package notify

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// Kind is what a message is about.
type Kind string

// The kinds.
const (
	Service Kind = "service"
	Node    Kind = "node"
)

// Kinds returns both.
func Kinds() []Kind { return []Kind{Service, Node} }

// URL is one address of a receiver, with its method.
type URL struct {
	method string
	url    *url.URL
	// id names it on the bus. It is a hash, since the text may hold a password.
	id string
}

// Receiver is whoever listens at one host and port.
type Receiver struct {
	// Host is its host and port.
	Host           string
	create, remove map[Kind][]URL
}

// Wants reports whether it is told anything of a kind.
func (r Receiver) Wants(kind Kind) bool { return len(r.create[kind])+len(r.remove[kind]) > 0 }

// List is one list of URLs, as an operator writes it.
type List struct {
	// Variable names it in errors. URLs and Methods are separated by commas; methods belong
	// to URLs by their position, and the last one to all that follow.
	Variable, URLs, Methods string
	// Secret is the name of a secret with further URLs, and SecretURLs what it holds.
	Secret, SecretURLs string
	Kind               Kind
	// Removes says that they are told of what has gone, not of what is there.
	Removes bool
}

// Receivers returns those of all lists, in the order in which they appear. An error names
// the variable and the text that is no URL.
func Receivers(lists ...List) ([]Receiver, error) {
	var out []Receiver
	var errs []error
	for _, list := range lists {
		urls, err := list.parse()
		errs = append(errs, err)
		for _, u := range urls {
			host := hostOf(u.url)
			i := slices.IndexFunc(out, func(r Receiver) bool { return r.Host == host })
			if i < 0 {
				i = len(out)
				out = append(out, Receiver{Host: host, create: map[Kind][]URL{}, remove: map[Kind][]URL{}})
			}
			of := out[i].create
			if list.Removes {
				of = out[i].remove
			}
			if !slices.ContainsFunc(of[list.Kind], func(other URL) bool { return other.id == u.id }) {
				of[list.Kind] = append(of[list.Kind], u)
			}
		}
	}
	return out, errors.Join(errs...)
}

// aMethod is what HTTP calls a token, of letters.
var aMethod = regexp.MustCompile(`^[A-Z]+$`)

func (l List) parse() ([]URL, error) {
	methods := fields(strings.ToUpper(l.Methods))
	for _, method := range methods {
		if !aMethod.MatchString(method) {
			return nil, fmt.Errorf("methods of %s: %q: want methods such as GET,POST", l.Variable, method)
		}
	}
	var out []URL
	var errs []error
	add := func(text, from, shown string) {
		u, err := url.Parse(text)
		if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" {
			errs = append(errs, fmt.Errorf("%s=%s: want URLs with scheme and host, such as http://proxy:8080/v1/docker-flow-proxy/reconfigure", from, shown))
			return
		}
		u.Fragment = ""
		method := "GET"
		if len(methods) > 0 {
			method = methods[min(len(out), len(methods)-1)]
		}
		sum := sha256.Sum256([]byte(u.String()))
		out = append(out, URL{method: method, url: u, id: hex.EncodeToString(sum[:8])})
	}
	for _, text := range fields(l.URLs) {
		add(text, l.Variable, fmt.Sprintf("%q", text))
	}
	for _, text := range fields(l.SecretURLs) {
		add(text, "the secret "+l.Secret, "(hidden)")
	}
	return out, errors.Join(errs...)
}

// fields are the parts of a list that are not empty.
func fields(list string) []string {
	var out []string
	for part := range strings.SplitSeq(list, ",") {
		if part = strings.TrimSpace(part); part != "" {
			out = append(out, part)
		}
	}
	return out
}

// hostOf is host and port of a URL, which names one that it leaves out.
func hostOf(u *url.URL) string {
	port := map[string]string{"http": "80", "https": "443"}[u.Scheme]
	return net.JoinHostPort(strings.ToLower(u.Hostname()), cmp.Or(u.Port(), port))
}

// with is the URL with parameters behind those of its own.
func (u URL) with(parameters map[string]string) string {
	values := url.Values{}
	for name, text := range parameters {
		values.Set(name, text)
	}
	full := *u.url
	full.RawQuery = strings.TrimPrefix(full.RawQuery+"&"+values.Encode(), "&")
	return full.String()
}

// Shown is a list of URLs as it may be logged: without queries and passwords.
func Shown(list string) string {
	parts := fields(list)
	for i, text := range parts {
		text, _, hasQuery := strings.Cut(text, "?")
		if scheme, rest, ok := strings.Cut(text, "://"); ok {
			host, path, _ := strings.Cut(rest, "/")
			if at := strings.LastIndexByte(host, '@'); at >= 0 {
				host = "(hidden)" + host[at:]
			}
			if text = scheme + "://" + host; path != "" {
				text += "/" + path
			}
		}
		if hasQuery {
			text += "?(hidden)"
		}
		parts[i] = text
	}
	return strings.Join(parts, ",")
}
