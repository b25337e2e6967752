package manual

import (
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/wagglehq/waggle/pkg/catalog"
)

func TestService(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 6_789_000, time.UTC)
	for _, c := range []struct{ name, query, want string }{
		{"labels without their prefix", "serviceName=shop_web&servicePath=/a&port.1=80",
			`{"id":"manual-shop_web","name":"shop_web","labels":{"com.df.notify":"true","com.df.port.1":"80","com.df.servicePath":"/a"},"mode":"global","replicas":0,"createdAt":"2026-01-02T03:04:05.006Z"}`},
		{"what is about the request is no label", "serviceName=a&distribute=true&notify=false",
			`{"id":"manual-a","name":"a","labels":{"com.df.notify":"true"},"mode":"global","replicas":0,"createdAt":"2026-01-02T03:04:05.006Z"}`},
		{"a number of tasks", "serviceName=a&replicas=2",
			`{"id":"manual-a","name":"a","labels":{"com.df.notify":"true"},"mode":"replicated","replicas":2,"createdAt":"2026-01-02T03:04:05.006Z"}`},
		{"a name with a dot", "serviceName=a.b",
			`{"id":"manual-=YS5i","name":"a.b","labels":{"com.df.notify":"true"},"mode":"global","replicas":0,"createdAt":"2026-01-02T03:04:05.006Z"}`},
		{"labels of companions", "serviceName=a&letsencrypt.host=acme.com",
			`{"id":"manual-a","name":"a","labels":{"com.df.letsencrypt.host":"acme.com","com.df.notify":"true"},"mode":"global","replicas":0,"createdAt":"2026-01-02T03:04:05.006Z"}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			form, err := url.ParseQuery(c.query)
			if err != nil {
				t.Fatal(err)
			}
			svc, err := Service(form, now)
			if err != nil {
				t.Fatal(err)
			}
			got, err := catalog.Encode(svc)
			if err != nil || string(got) != c.want {
				t.Errorf("%v\ngot  %s\nwant %s", err, got, c.want)
			}
			if !catalog.IsManual(svc.ID) || !svc.OptedIn() {
				t.Errorf("%+v", svc)
			}
		})
	}
}

func TestServiceThatIsNone(t *testing.T) {
	for _, c := range []struct {
		name string
		form url.Values
		says string
	}{
		{"no name", url.Values{"port": {"80"}}, ErrNoName.Error()},
		{"a name with a line end", url.Values{"serviceName": {"a\nb"}}, "serviceName="},
		{"a name with a mark in front", url.Values{"serviceName": {"_list"}}, "serviceName="},
		{"a long name", url.Values{"serviceName": {strings.Repeat("a", 64)}}, "63 at most"},
		{"a label with a space", url.Values{"serviceName": {"a"}, "a b": {"1"}}, "the name of a label"},
		{"a long label", url.Values{"serviceName": {"a"}, strings.Repeat("a", 101): {"1"}}, "the name of a label"},
		{"no number of tasks", url.Values{"serviceName": {"a"}, "replicas": {"-1"}}, "replicas="},
		{"too much", url.Values{"serviceName": {"a"}, "servicePath": {strings.Repeat("/a,", 30_000)}}, "bytes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Service(c.form, time.Now())
			if err == nil || !strings.Contains(err.Error(), c.says) || len(err.Error()) > 400 {
				t.Errorf("%v, want %q", err, c.says)
			}
			if errors.Is(err, ErrNoName) != (c.name == "no name") {
				t.Error(err)
			}
		})
	}
}
