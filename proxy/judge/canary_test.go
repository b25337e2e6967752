package judge_test

import (
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/proxy/internal/wish/route/labels"
	"github.com/wagglehq/waggle/proxy/judge"
)

// TestCanary: whatever becomes of a service, and of others that want the same, nobody is
// told what a secret label says.
func TestCanary(t *testing.T) {
	const canary = "cAnArY0815"
	texts := map[string][]string{
		"users": {"me:" + canary, canary + ":", "me:" + canary + ",me:" + canary, "me:$6$" + canary},
	}
	headers := []string{"X-Key " + canary, canary, "X-Key:" + canary, canary + ": x", "X-Key %[" + canary + "]", "X-Key a if { " + canary + " }", "X-Key " + canary + "\n"}
	found := 0
	for _, spec := range labels.Table() {
		if !spec.Secret {
			continue
		}
		found++
		list := texts[spec.Name]
		if list == nil {
			list = headers
		}
		for _, text := range list {
			for name, beside := range map[string]map[string]string{
				"alone": nil, "in a group": {"serviceGroup": "shop"}, "at an index": {"servicePath.1": "/a", spec.Name + ".1": text + canary},
				"below HTTP": {"reqMode": "tcp", "srcPort": "99"}, "with an order": {"aclName": "0"}, "as another service": {"userAgent": "x"},
			} {
				services := map[string]catalog.Service{}
				for i, label := range []map[string]string{{spec.Name: text}, {spec.Name: text + "2"}, {}, {"serviceHeader": "X-Key:" + canary}} {
					id := fmt.Sprint(i)
					svc := catalog.Service{ID: id, Name: "web" + id, Stack: "s" + id, Networks: []string{"waggle"}, CreatedAt: time.Unix(int64(i), 0), Labels: map[string]string{
						catalog.Notify: "true", "com.df.servicePath": "/", "com.df.serviceDomain": "a.com", "com.df.port": "80",
					}}
					all := maps.Clone(label)
					maps.Copy(all, beside)
					for name, text := range all {
						svc.Labels[catalog.Prefix+name] = text
					}
					services[id] = svc
				}
				for _, owners := range []string{"", "mode: first-come"} {
					answers, err := judge.Services(judge.Question{Snapshot: catalog.Snapshot{Services: services}, Settings: map[string]string{"owners": owners}, Now: time.Unix(99, 0)})
					if err != nil {
						t.Fatal(err)
					}
					if said := fmt.Sprintf("%+v", answers); strings.Contains(strings.ToLower(said), strings.ToLower(canary)) {
						t.Errorf("%s=%q, %s: %s", spec.Name, text, name, said)
					}
				}
			}
		}
	}
	if found < 5 {
		t.Errorf("%d secret labels", found)
	}
}
