package labels_test

import (
	"strings"
	"testing"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/label"
	"github.com/wagglehq/waggle/proxy/internal/wish/route/labels"
	"github.com/wagglehq/waggle/proxy/internal/wish/route/routetest"
)

func TestSpreadOfLabels(t *testing.T) {
	for _, c := range []struct {
		name   string
		labels []string
		want   string
	}{
		{"by header", []string{"balance", "hdr(X-User)"}, "hdr X-User"},
		{"in any case of letters", []string{"balance", " LeastConn"}, "leastconn"},
		{"a header with a space", []string{"balance", "hdr(X User)"}, "balance"},
		{"what HAProxy cannot change at run time", []string{"balance", "static-rr"}, "balance"},
		{"a queue without a limit", []string{"maxQueue", "3"}, "maxQueue"},
		{"a check of nothing", []string{"checkFall", "3"}, "checkFall"},
		{"a path that is none", []string{"checkPath", "health"}, "checkPath"},
		{"a range of codes", []string{"checkPath", "/", "checkStatus", "200-299, 404"}, "check / 200-299,404"},
		{"codes that are none", []string{"checkPath", "/", "checkStatus", "600"}, "checkStatus"},
		{"a weight of nobody's", []string{"weight", "3"}, "weight"},
		{"more than everything", []string{"serviceGroup", "g", "weight", "101"}, "weight"},
		{"a weight that is not heard", []string{"serviceGroup", "g", "weight", "1", "balance", "first"}, "weight"},
		{"a name of a group with a colon", []string{"serviceGroup", "g:http"}, "serviceGroup"},
		{"to repeat what is none", []string{"retryOn", "conn-failure,POST"}, "retryOn"},
		{"not to repeat and to repeat", []string{"retryOn", "none,503"}, "retryOn"},
		{"sorted, and each once", []string{"retryOn", "503,conn-failure,503"}, "retry 503 conn-failure"},
		{"reuse that is none", []string{"httpReuse", "often"}, "httpReuse"},
		{"an index has its own", []string{"balance", "uri", "balance.1", "source", "servicePath.1", "/x"}, "source"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := labels.FromService(routetest.Service("a", 1, append([]string{"servicePath", "/a", "port", "80"}, c.labels...)...), opts)
			var got []string
			if f := label.First(err); f != nil {
				name, _ := label.SplitIndex(strings.TrimPrefix(f.Label, catalog.Prefix))
				got = append(got, name)
			} else if err != nil {
				t.Fatal(err)
			} else {
				spread := s.Backends[0].Handling.Spread
				if spread.Check != nil {
					got = append(got, "check", spread.Check.Path, spread.Check.Status)
				}
				if spread.RetryOn != nil {
					got = append(got, "retry", strings.Join(spread.RetryOn, " "))
				}
				got = append(got, spread.Balance, spread.Header)
			}
			if text := strings.TrimSpace(strings.Join(got, " ")); text != c.want {
				t.Errorf("got %q (%v), want %q", text, err, c.want)
			}
		})
	}
}
