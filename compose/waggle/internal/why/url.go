package why

import (
	"cmp"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/wagglehq/waggle/pkg/picture"
	proxy "github.com/wagglehq/waggle/proxy/judge"
)

// IsURL reports whether a text is one to ask URL about.
func IsURL(text string) bool {
	scheme, _, ok := strings.Cut(text, "://")
	return ok && (strings.EqualFold(scheme, "http") || strings.EqualFold(scheme, "https"))
}

// Check says what is wrong with a URL.
func Check(address string) error {
	_, _, err := parsed(address)
	return err
}

// mostPort is the greatest number that a port may have.
const mostPort = 65535

// parsed is a URL with the port that a browser would ask at.
func parsed(address string) (u *url.URL, port int, err error) {
	u, err = url.Parse(address)
	if err != nil || strings.Trim(u.Hostname(), ".") == "" || !IsURL(address) {
		return nil, 0, fmt.Errorf("%q: want a URL such as http://shop.example.com/cart", address)
	}
	if port = 80; u.Scheme == "https" {
		port = 443
	}
	if u.Port() != "" {
		if port, err = strconv.Atoi(u.Port()); err != nil || port < 1 || port > mostPort {
			return nil, 0, fmt.Errorf("%q: want a port from 1 to %d", address, mostPort)
		}
	}
	return u, port, nil
}

// URL answers where a URL leads.
func URL(p picture.Picture, address string) (Answer, error) {
	w, err := judged(p)
	if err != nil {
		return Answer{}, err
	}
	return w.url(address)
}

func (w *world) url(address string) (Answer, error) {
	u, port, err := parsed(address)
	if err != nil {
		return Answer{}, err
	}
	way, err := proxy.Where(w.question(), proxy.Request{Host: u.Hostname(), Path: cmp.Or(u.EscapedPath(), "/"), Port: port})
	if err != nil {
		return Answer{}, err
	}
	rungs := []Rung{w.tls(u, port)}
	others := make([]Other, 0, len(way.Others))
	for _, o := range way.Others {
		others = append(others, Other{o.Service, o.Fails})
	}
	shown := u.Hostname() + u.EscapedPath()
	if way.Service == "" {
		rungs = append(rungs, Rung{"route", Broken, "no service asks for " + shown, "set com.df.serviceDomain=" + u.Hostname() + " on the service that it is for"},
			Rung{Rung: "applied", State: None}, Rung{Rung: "tasks", State: None}, Rung{Rung: "reach", State: None})
		return said(nil, rungs, others), nil
	}
	svc, _ := w.ByName(way.Service)
	tasks := w.tasks(svc)
	rungs = append(rungs, Rung{"route", OK, shown + " is for " + way.Service, ""}, w.applied(svc), tasks, w.reach(svc, tasks))
	return said(&way.Service, rungs, others), nil
}

func (w *world) tls(u *url.URL, port int) Rung {
	host := strings.ToLower(u.Hostname())
	switch {
	case u.Scheme != "https":
		return Rung{Rung: "tls", State: None}
	case w.Certificates == nil:
		return Rung{Rung: "tls", State: Wait, Text: "which certificates there are is not known"}
	}
	obtaining, fix := w.uncertified(host)
	fix = cmp.Or(fix, "give the proxy a certificate for "+host)
	if len(w.Certificates) == 0 {
		return Rung{"tls", Broken, fmt.Sprintf("there is no certificate at all, so nobody listens on port %d", port) + obtaining, fix}
	}
	var all []string
	for _, name := range slices.Sorted(maps.Keys(w.Certificates)) {
		if slices.ContainsFunc(w.Certificates[name], func(h string) bool { return covers(strings.ToLower(h), host) }) {
			return Rung{"tls", OK, "the certificate " + name + " names " + host, ""}
		}
		all = append(all, fmt.Sprintf("%s (%s)", name, strings.Join(w.Certificates[name], ", ")))
	}
	return Rung{"tls", Broken, "no certificate names " + host + "; there are: " + strings.Join(all, ", ") + obtaining, fix}
}

// covers reports whether a name of a certificate is for a host: a wildcard stands for one
// part of a name.
func covers(name, host string) bool {
	if end, ok := strings.CutPrefix(name, "*"); ok {
		first, rest, _ := strings.Cut(host, ".")
		return first != "" && "."+rest == end
	}
	return name == host
}
