package certs

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"
)

// Source is where a certificate comes from.
type Source string

// The sources, in the order in which they win where two bring the same name.
const (
	Upload Source = "upload"
	File   Source = "file"
	Secret Source = "secret"
	Label  Source = "label"
	// ACME is for those that the proxy has obtained.
	ACME Source = "acme"
)

// rank is the place of a source in that order.
func (s Source) rank() int { return slices.Index([]Source{Upload, File, Secret, Label, ACME}, s) }

// turn is when the names of a certificate are given away.
func (s Source) turn() int {
	switch s {
	case Label:
		return 1
	case ACME:
		return 2
	}
	return 0
}

// Candidate is a certificate that somebody wants to be served.
type Candidate struct {
	Name   string
	Source Source
	// Service is the one whose label it is. Host is the one for which it was obtained, and Text
	// that by which it is known to be the same.
	Service, Host, Text string
	Certificate
	// Err is why it cannot be served.
	Err error
	// Problem is why a newer content cannot be served, so that this one still is.
	Problem error
}

// Entry is a candidate and what becomes of it.
type Entry struct {
	Candidate
	// Default: clients get it whose name no certificate has.
	Default bool
	// Only are the hosts that it is served for; nil means all of its own.
	Only []string
	// Reason is why it is not served, empty if it is.
	Reason string
	// Warning is what to know of one that is served.
	Warning string
}

// Served reports whether clients get it.
func (e Entry) Served() bool { return e.Reason == "" }

// Key tells entries apart.
func (e Entry) Key() string { return string(e.Source) + " " + e.Name }

// FileName is the name of the file of a certificate, in which nothing but letters,
// digits and . _ - stands.
func (e Entry) FileName() string {
	if CheckName(e.Name) == nil {
		return e.Name
	}
	sum := sha256.Sum256([]byte(e.Name))
	return "=" + hex.EncodeToString(sum[:12])
}

// Options are what is chosen by.
type Options struct {
	// Preferred are patterns of names whose certificates come first.
	Preferred []string
	// Hosts are those that services are routed by, each with these services.
	Hosts map[string][]string
	// Kept are the PEM texts that are served already: what expires while it is served
	// stays, because nothing would be better without it.
	Kept map[string]bool
	// Refused says why HAProxy does not take a PEM text, nil if it does.
	Refused func(pem string) error
	Now     time.Time
}

// ParsePreferred reads patterns of names with * in them, separated by commas.
func ParsePreferred(text string) ([]string, error) {
	var out []string
	for word := range strings.SplitSeq(text, ",") {
		if word = strings.TrimSpace(word); word == "" {
			continue
		}
		if _, err := path.Match(word, ""); err != nil {
			return nil, fmt.Errorf("%q: want names of certificates, in which * stands for any text, separated by commas", word)
		}
		out = append(out, word)
	}
	return out, nil
}

// Choose decides what becomes of each candidate. The result is sorted: what is served
// comes first, the default before all.
func Choose(candidates []Candidate, o Options) []Entry {
	entries := make([]Entry, 0, len(candidates))
	for _, c := range candidates {
		entries = append(entries, Entry{Candidate: c})
	}
	slices.SortFunc(entries, func(a, b Entry) int {
		return cmp.Or(
			cmp.Compare(a.place(o.Preferred), b.place(o.Preferred)), strings.Compare(a.Name, b.Name),
			cmp.Compare(a.Source.rank(), b.Source.rank()), strings.Compare(a.Service, b.Service),
		)
	})
	best := map[string]Entry{}
	for i := range entries {
		e := &entries[i]
		if err := e.usable(o); err != nil {
			e.Err, e.Reason = err, err.Error()
			continue
		}
		if b, ok := best[e.Name]; !ok || e.Source.rank() < b.Source.rank() {
			best[e.Name] = *e
		}
	}
	taken := map[string]string{}
	// The operator's come before those of labels, and these before those that were obtained.
	for turn := range 3 {
		for i := range entries {
			e := &entries[i]
			if e.Reason != "" || e.Source.turn() != turn {
				continue
			}
			if b := best[e.Name]; b.Source != e.Source || b.Service != e.Service {
				e.Reason = fmt.Sprintf("the %s of the same name comes before it", b.Source)
				continue
			}
			e.take(taken, o.Hosts)
			if o.Now.Before(e.NotBefore) {
				e.Warning = "it is not valid before " + e.NotBefore.Format(time.RFC3339)
			}
			if err := e.Expired(o.Now); err != nil {
				e.Warning = err.Error()
			}
			if e.Problem != nil {
				e.Warning = "the content before is still served: " + e.Problem.Error()
			}
		}
	}
	slices.SortStableFunc(entries, func(a, b Entry) int { return cmp.Compare(a.waits(), b.waits()) })
	if len(entries) > 0 && entries[0].Served() {
		entries[0].Default = true
	}
	return entries
}

// waits is 0 for what is served, and 1 for what is not.
func (e Entry) waits() int {
	if e.Served() {
		return 0
	}
	return 1
}

// place is 0 for preferred ones, 1 for others of the operator, 2 for those of labels, 3 for those
// that were obtained, so that no service becomes the default of others where the operator has one.
func (e Entry) place(preferred []string) int {
	for _, p := range preferred {
		if ok, err := path.Match(p, e.Name); err == nil && ok {
			return 0
		}
	}
	return 1 + e.Source.turn()
}

func (e Entry) usable(o Options) error {
	if e.Err != nil {
		return e.Err
	}
	if o.Kept[e.PEM] {
		return nil
	}
	if err := e.Expired(o.Now); err != nil && e.Source != Label {
		return err
	}
	if o.Refused == nil {
		return nil
	}
	return o.Refused(e.PEM)
}

// take notes the names of a certificate. One of a label gets only those that nobody else
// has: no certificate of the operator or of an older name, and no other service by its
// routes.
func (e *Entry) take(taken map[string]string, hosts map[string][]string) {
	switch e.Source {
	case Label:
	case ACME:
		e.takeObtained(taken)
		return
	default:
		for _, n := range e.Names {
			taken[n] = e.Name
		}
		return
	}
	e.Only = []string{}
	var without error
	for _, n := range e.Names {
		if owner, ok := taken[n]; ok {
			without = fmt.Errorf("the certificate %s has %s before it", owner, n)
			continue
		}
		if host, other := foreign(n, e.Service, hosts); other != "" {
			without = fmt.Errorf("%s belongs to %s by its com.df.serviceDomain", host, other)
			continue
		}
		taken[n] = e.Name
		e.Only = append(e.Only, n)
	}
	switch {
	case len(e.Only) > 0 && without != nil:
		e.Warning = without.Error()
	case len(e.Only) == 0 && without != nil:
		e.Reason = without.Error()
	case len(e.Only) == 0:
		e.Reason = "it has no host name"
	}
}

// takeObtained is take for one that was obtained: it is for its host alone, and nobody else has one
// for it.
func (e *Entry) takeObtained(taken map[string]string) {
	if owner, ok := taken[e.Host]; ok {
		e.Only, e.Reason = []string{}, fmt.Sprintf("the certificate %s has %s before it", owner, e.Host)
		return
	}
	taken[e.Host], e.Only = e.Name, []string{e.Host}
}

// foreign returns a host that a certificate's name covers and that other services are
// routed by, but not its own. A host of its own comes before others' wildcards, as its
// requests do.
func foreign(name, service string, hosts map[string][]string) (host, other string) {
	if slices.Contains(hosts[name], service) && !strings.HasPrefix(name, "*") {
		return "", ""
	}
	var found []string
	for h, services := range hosts {
		if Covers(name, h) && !slices.Contains(services, service) {
			found = append(found, h)
		}
	}
	if len(found) == 0 {
		return "", ""
	}
	slices.Sort(found)
	return found[0], slices.Min(hosts[found[0]])
}

// Covers reports whether a certificate's name, which may be a wildcard, and a host,
// which may be one too, have a name in common.
func Covers(name, host string) bool {
	if name == host {
		return true
	}
	suffix, wild := strings.CutPrefix(name, "*")
	hostSuffix, hostWild := strings.CutPrefix(host, "*")
	switch {
	case wild && hostWild:
		return strings.HasSuffix(suffix, hostSuffix) || strings.HasSuffix(hostSuffix, suffix)
	case wild:
		first, ok := strings.CutSuffix(host, suffix)
		return ok && first != "" && !strings.Contains(first, ".")
	case hostWild:
		return strings.HasSuffix(name, hostSuffix)
	}
	return false
}
