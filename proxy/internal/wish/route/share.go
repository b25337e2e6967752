package route

import (
	"reflect"
	"strconv"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/label"
)

// Share is what one service has of a backend that several share. Its zero value is
// that of a backend which is one service's alone.
type Share struct {
	// Group is empty for a backend of one service. Otherwise all services of the
	// group have a backend of the same name, which is one, with the servers of all;
	// Member tells them apart.
	Group, Member string
	// Weight is the share of the service, however many tasks it has; Weighted tells
	// that its labels say so.
	Weight   int
	Weighted bool
	// says are the texts of the labels on which the members must agree.
	says map[string]string
}

// fullWeight is the weight of a member that says nothing.
const fullWeight = 100

// group reads the name under which services share what leads to them.
func group(g label.Group) string {
	name := g.Word("serviceGroup", "")
	if name != "" && (!fileName.MatchString(name) || len(name) > 64) {
		g.Reject("serviceGroup", "a name of letters, digits, dots, dashes and underscores")
	}
	return name
}

// share reads the part of a service in its group.
func share(svc catalog.Service, g label.Group, spread Spread) Share {
	s := Share{
		Group: group(g), Member: svc.Name + "_" + strconv.Itoa(g.Index),
		Weight: g.Int("weight", fullWeight, 0, 100), Weighted: g.Has("weight"),
	}
	if s.Group == "" {
		if s.Weighted {
			g.Reject("weight", "a com.df.serviceGroup beside it")
		}
		return Share{}
	}
	if s.Weighted && spread.Balance == "first" {
		g.Reject("weight", "another com.df.balance than first, which knows no weights")
	}
	return s
}

// httpShare is share for a backend of HTTP, whose members must do the same with
// requests. Two indexes of a service that lead to one port are one member.
func (rd *Reader) httpShare(svc catalog.Service, g label.Group, does Handling, port int) Share {
	s := share(svc, g, does.Spread)
	if s.Group == "" {
		return s
	}
	s.Member = svc.Name + "_" + strconv.Itoa(port)
	s.says = map[string]string{}
	for _, spec := range rd.table {
		if !spec.Own && g.Has(spec.Name) {
			s.says[spec.Name] = label.Show(g.Text(spec.Name, ""), spec.Secret)
		}
	}
	return s
}

// backendOf is the name of the backend of a group for HTTP. No service can have a
// colon in its name.
func (s Share) backendOf(suffix string) string { return "group:" + s.Group + ":http" + suffix }

// party is the member of a group that was there first.
type party struct {
	service string
	backend Backend
}

// disagreement returns why a service cannot be in the groups of its backends, nil if it can.
func disagreement(parties map[string]party, name string, backends []Backend) *ConflictError {
	for _, b := range backends {
		p, ok := parties[b.Name]
		if !ok || b.Share.Group == "" || b.Stream != nil || reflect.DeepEqual(p.backend.Handling, b.Handling) {
			continue
		}
		err := &ConflictError{Service: name, Claim: "group " + b.Share.Group, Winner: p.service, Label: "serviceGroup", Has: "for something else"}
		for _, spec := range Table() {
			theirs, said := p.backend.Share.says[spec.Name]
			ours, says := b.Share.says[spec.Name]
			if said == says && theirs == ours {
				continue
			}
			err.Label, err.Has = spec.Name, theirs
			if !said {
				err.Has = "absent"
			}
			break
		}
		return err
	}
	return nil
}

// joinParties enters the backends of a service that agrees.
func joinParties(parties map[string]party, name string, backends []Backend) {
	for _, b := range backends {
		if _, ok := parties[b.Name]; !ok && b.Share.Group != "" && b.Stream == nil {
			parties[b.Name] = party{name, b}
		}
	}
}

// shared returns who claims of a service are for: its groups, which may have them
// several times, and where redirects lead. It is nil for most, who are in no group.
func (s Service) shared() map[claim]holder {
	var out map[claim]holder
	put := func(c claim, group, to string) {
		if group == "" {
			return
		}
		if out == nil {
			out = map[claim]holder{}
		}
		out[c] = holder{name: s.Name, group: group, value: to}
	}
	for _, r := range s.Routes {
		for _, c := range r.claimed {
			put(c, r.Group, "")
		}
	}
	for _, r := range s.Redirects {
		put(claim{host: r.From, redirect: true}, r.Group, r.To)
	}
	return out
}

// holder is the service as the one that has a claim.
func (s Service) holder(c claim) holder {
	if h, ok := s.common[c]; ok {
		return h
	}
	return holder{name: s.Name}
}

// admits reports whether another service may have the same claim as well.
func (h holder) admits(other holder) bool {
	return h.group != "" && h.group == other.group && h.value == other.value
}

// spokesmen are the routes of groups that stand for what several members claim in
// common: those that come first.
func spokesmen(routes []*Route) map[claim]*Route {
	out := map[claim]*Route{}
	for _, r := range routes {
		if r.Group == "" {
			continue
		}
		for _, c := range r.claimed {
			if first, ok := out[c]; !ok || compare(&leaf{claim: c, route: r}, &leaf{claim: c, route: first}) < 0 {
				out[c] = r
			}
		}
	}
	return out
}
