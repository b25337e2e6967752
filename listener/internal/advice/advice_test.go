package advice

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/wagglehq/waggle/listener/internal/known"
	"github.com/wagglehq/waggle/pkg/catalog"
)

func labels(pairs ...string) map[string]string {
	out := map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		out["com.df."+pairs[i]] = pairs[i+1]
	}
	return out
}

func TestOn(t *testing.T) {
	table, err := known.Table()
	if err != nil {
		t.Fatal(err)
	}
	const silent = State("")
	for name, c := range map[string]struct {
		labels, container   map[string]string
		large               *catalog.TooLargeError
		state               State
		label, reason, hint string
		warnings            []string
	}{
		"a service without any label":       {state: silent},
		"a service that is as it should be": {labels: labels("notify", "true", "servicePath", "/", "port.1", "80", "letsencrypt.host", "x", "cron", "y"), state: silent},
		"labels, but no opt-in": {
			labels: labels("servicePath", "/"), state: Ignored, label: "com.df.notify",
			reason: "has not opted in: it has no label com.df.notify=true", hint: "docker service update --label-add com.df.notify=true shop_web",
		},
		"opted out": {
			labels: labels("notify", "False", "servicePath", "/"), state: Ignored, label: "com.df.notify", reason: "opted out", hint: "--label-add",
		},
		"notify says something else": {
			labels: labels("notify", "yes"), state: Ignored, label: "com.df.notify", reason: `com.df.notify="yes": want true`, hint: "--label-add",
		},
		"all labels on the container": {
			container: labels("notify", "true", "servicePath", "/"), state: Ignored, label: "com.df.notify",
			reason: "com.df.notify stands on the container", hint: "deploy.labels",
			warnings: []string{"com.df.servicePath stands on the container"},
		},
		"opted in, one label on the container": {
			labels: labels("notify", "true", "port", "80"), container: labels("servicePath", "/"), state: Accepted,
			warnings: []string{"com.df.servicePath stands on the container, not on the service, where alone it counts: write it under deploy.labels"},
		},
		"the same on both": {labels: labels("notify", "true", "port", "80"), container: labels("port", "80"), state: silent},
		"a mistyped label": {
			labels: labels("notify", "true", "servicepath", "/", "port.x", "1"), state: Accepted,
			warnings: []string{"com.df.port.x is not known", "com.df.servicepath is not known and has no effect: is com.df.servicePath meant?"},
		},
		"a mistyped notify": {
			labels: labels("notfy", "true"), state: Ignored, label: "com.df.notify", reason: "has not opted in: it has no label com.df.notify=true", hint: "--label-add",
			warnings: []string{"is com.df.notify meant?"},
		},
		"labels that are too large": {
			labels: labels("notify", "true"), large: &catalog.TooLargeError{Service: "shop_web", Bytes: 70000}, state: Rejected,
			reason: "70000 bytes", hint: "secrets",
		},
	} {
		t.Run(name, func(t *testing.T) {
			a, ok := On(catalog.Service{ID: "s1", Name: "shop_web", Labels: c.labels, ContainerLabels: c.container}, c.large, table)
			if ok != (c.state != silent) {
				t.Fatalf("something to say: %t: %+v", ok, a)
			}
			if !ok {
				return
			}
			if a.ServiceID != "s1" || a.Service != "shop_web" || a.State != c.state || a.Label != c.label {
				t.Errorf("%+v, want state %s and label %s", a, c.state, c.label)
			}
			if !strings.Contains(a.Reason, c.reason) || (c.reason == "") != (a.Reason == "") {
				t.Errorf("reason %q, want %q", a.Reason, c.reason)
			}
			if !strings.Contains(a.Hint, c.hint) || (c.hint == "") != (a.Hint == "") {
				t.Errorf("hint %q, want %q", a.Hint, c.hint)
			}
			if len(a.Warnings) != len(c.warnings) {
				t.Fatalf("warnings %q, want %q", a.Warnings, c.warnings)
			}
			for i, w := range c.warnings {
				if !strings.Contains(a.Warnings[i], w) {
					t.Errorf("warning %q, want %q", a.Warnings[i], w)
				}
			}
		})
	}
}

func TestAllIsBoundedAndSorted(t *testing.T) {
	many := labels("notify", "true")
	for i := range 50 {
		many["com.df."+strings.Repeat("x", 300+i)] = "secret text"
	}
	var m Memory
	all := m.All(catalog.Snapshot{Services: map[string]catalog.Service{
		"b": {ID: "b", Name: "many", Labels: many},
		"a": {ID: "a", Name: "large", Labels: labels("notify", "true")},
		"c": {ID: "c", Name: "fine", Labels: labels("notify", "true")},
	}}, map[string]*catalog.TooLargeError{"large": {Service: "large", Bytes: 99999}}, nil)
	if len(all) != 3 || all[0].Service != "large" || all[0].State != Rejected || all[1].Service != "many" {
		t.Fatalf("%+v", all)
	}
	text := strings.Join(all[1].Warnings, "\n")
	if len(all[1].Warnings) != 21 || all[1].Warnings[20] != "and 31 more" || len(text) > 21*300 || strings.Contains(text, "secret") {
		t.Errorf("%d warnings of %d bytes:\n%s", len(all[1].Warnings), len(text), text)
	}
}

// TestThousandsOfUnknownLabelsAreCheap gives one service as many labels as fit. What was
// said of them is said again without another look: no label of the table is near then.
func TestThousandsOfUnknownLabelsAreCheap(t *testing.T) {
	table, err := known.Table()
	if err != nil {
		t.Fatal(err)
	}
	many := labels("notify", "true")
	for i := range 2800 {
		many[fmt.Sprintf("com.df.servicePath%04d", i)] = "x"
	}
	s := catalog.Snapshot{Services: map[string]catalog.Service{"a": {ID: "a", Name: "many", Labels: many}}}
	var m Memory
	first := m.All(s, nil, table)
	if len(first) != 1 || len(first[0].Warnings) != 21 || first[0].Warnings[20] != "and 2780 more" {
		t.Fatalf("%+v", first)
	}
	if again := m.All(s, nil, nil); !reflect.DeepEqual(first, again) {
		t.Errorf("the second time it is %+v", again)
	}
}

// No label may put more than its name, shortened, into a status.
func FuzzOn(f *testing.F) {
	f.Add("notify", "true", "port", "80")
	f.Add("notify", "\n", "\x00", "{{")
	f.Add("", "", strings.Repeat("a", 10_000), "x")
	f.Fuzz(func(t *testing.T, name, text, other, otherText string) {
		a, _ := On(catalog.Service{ID: "s", Name: "s", Labels: labels(name, text), ContainerLabels: labels(other, otherText)}, nil, nil)
		if n := len(a.Reason) + len(a.Hint) + len(strings.Join(a.Warnings, "")); n > 4000 {
			t.Errorf("%d bytes are said of two labels", n)
		}
	})
}
