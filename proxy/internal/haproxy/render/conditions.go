package render

import (
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/file"
	"github.com/wagglehq/waggle/proxy/internal/wish/route"
)

// lookUp finds the backend of the path in one variable, and writes it into another. Each expression that finds nothing leaves the variable as it is.
// A host of its own has in its class what the wildcards that cover it have.
func (r *rules) lookUp(s Settings, path, into string, tests ...file.Test) {
	r.lookUpHost(s, path, into, tests...)
	r.lookUpOthers(s, path, into, tests...)
}

// lookUpHost is the first step of it, and for most requests the last.
func (r *rules) lookUpHost(s Settings, path, into string, tests ...file.Test) {
	when := always
	if len(tests) > 0 {
		when = file.If(tests...)
	}
	r.set(into, "var(txn.host),map_str("+s.MapPath(file.HostsMap)+")"+ofClass(s, path), when)
}

// lookUpOthers are the steps behind it.
func (r *rules) lookUpOthers(s Settings, path, into string, tests ...file.Test) {
	missing := file.Unless(found(into))
	if len(tests) > 0 {
		missing = file.If(append(tests, file.Not(found(into)))...)
	}
	r.set(into, "var(txn.host),map_end("+s.MapPath(file.WildcardsMap)+")"+ofClass(s, path), missing)
	r.set(into, "var(txn."+path+"),map_beg("+s.MapPath(file.PathsMap)+")", missing)
}

// ofClass finds the backend of a path among those of a class.
func ofClass(s Settings, path string) string {
	return ",concat(,txn." + path + "),map_beg(" + s.MapPath(file.PathsMap) + ")"
}

// test is a condition of a route; path is the variable with the request's path.
func test(c route.Condition, path string) file.Test {
	how := bare("-m", string(c.Match))
	if c.IgnoreCase {
		how = append(how, file.W("-i"))
	}
	t := file.OneOf(fetch(c, path), how, c.Values...)
	if c.Not {
		return file.Not(t)
	}
	return t
}

func fetch(c route.Condition, path string) file.Fetch {
	switch c.Fetch {
	case route.FetchPath:
		return file.Variable(path)
	case route.FetchHost:
		return file.Variable("host")
	case route.FetchPort:
		return file.Always("dst_port")
	}
	return file.OfRequest("req.fhdr(" + c.Header + ")")
}

// longest is the label that brought most of a step's words.
func longest(conditions []route.Condition) string {
	most, name := 0, ""
	for _, c := range conditions {
		if len(c.Values) <= most {
			continue
		}
		most = len(c.Values)
		switch {
		case c.Fetch == route.FetchPath && c.Not:
			name = "servicePathExclude"
		case c.Fetch == route.FetchPath:
			name = "servicePath"
		case c.Fetch == route.FetchHost:
			name = "serviceDomain"
		case c.Fetch == route.FetchPort:
			name = "srcPort"
		case c.Match == route.MatchPart:
			name = "userAgent"
		default:
			name = "serviceHeader"
		}
	}
	if name == "" {
		return ""
	}
	return catalog.Prefix + name
}
