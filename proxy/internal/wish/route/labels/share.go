package labels

import (
	"strconv"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/label"
	"github.com/wagglehq/waggle/proxy/internal/wish/route"
)

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
func share(svc catalog.Service, g label.Group, spread route.Spread) route.Share {
	s := route.Share{
		Group: group(g), Member: svc.Name + "_" + strconv.Itoa(g.Index),
		Weight: g.Int("weight", fullWeight, 0, 100), Weighted: g.Has("weight"),
	}
	if s.Group == "" {
		if s.Weighted {
			g.Reject("weight", "a com.df.serviceGroup beside it")
		}
		return route.Share{}
	}
	if s.Weighted && spread.Balance == "first" {
		g.Reject("weight", "another com.df.balance than first, which knows no weights")
	}
	return s
}

// httpShare is share for a backend of HTTP, whose members must do the same with
// requests. Two indexes of a service that lead to one port are one member.
func httpShare(svc catalog.Service, g label.Group, does route.Handling, port int) route.Share {
	s := share(svc, g, does.Spread)
	if s.Group == "" {
		return s
	}
	s.Member = svc.Name + "_" + strconv.Itoa(port)
	return s
}

// httpTerms are what the members of a group for HTTP must agree on: all that is done with
// requests, by all labels that are not each member's own.
func (rd *Reader) httpTerms(g label.Group, b route.Backend) []route.Term {
	if b.Share.Group == "" {
		return nil
	}
	t := route.Term{Scope: route.GroupScope(b.Share.Group), About: b.Name, Value: b.Handling}
	for _, spec := range rd.table {
		if !spec.Own {
			t.Said = append(t.Said, route.Said{Label: spec.Name, Text: label.Show(g.Text(spec.Name, ""), spec.Secret), Absent: !g.Has(spec.Name)})
		}
	}
	return []route.Term{t}
}
