package route

import (
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
func httpShare(svc catalog.Service, g label.Group, does Handling, port int) Share {
	s := share(svc, g, does.Spread)
	if s.Group == "" {
		return s
	}
	s.Member = svc.Name + "_" + strconv.Itoa(port)
	return s
}

// httpTerms are what the members of a group for HTTP must agree on: all that is done with
// requests, by all labels that are not each member's own.
func (rd *Reader) httpTerms(g label.Group, b Backend) []Term {
	if b.Share.Group == "" {
		return nil
	}
	t := Term{Scope: groupScope(b.Share.Group), About: b.Name, Value: b.Handling}
	for _, spec := range rd.table {
		if !spec.Own {
			t.Said = append(t.Said, Said{spec.Name, label.Show(g.Text(spec.Name, ""), spec.Secret), !g.Has(spec.Name)})
		}
	}
	return []Term{t}
}

func groupScope(group string) string { return "group " + group }

// backendOf is the name of the backend of a group for HTTP. No service can have a
// colon in its name.
func (s Share) backendOf(suffix string) string { return "group:" + s.Group + ":http" + suffix }

// spokesmen are the routes of groups that stand for what several members claim in
// common: those that come first.
func spokesmen(routes []*Route) map[Claim]*Route {
	out := map[Claim]*Route{}
	for _, r := range routes {
		if r.Group == "" {
			continue
		}
		for _, c := range r.Claims {
			if first, ok := out[c]; !ok || compare(&leaf{Claim: c, route: r}, &leaf{Claim: c, route: first}) < 0 {
				out[c] = r
			}
		}
	}
	return out
}
