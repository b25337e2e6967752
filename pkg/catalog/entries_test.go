package catalog_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/wagglehq/waggle/pkg/catalog"
)

func TestAServiceThatIsTooLargeStaysOptedIn(t *testing.T) {
	large := catalog.Service{
		ID: "1", Name: "large", Mode: catalog.Replicated, Replicas: 2, Networks: []string{"waggle"},
		Labels: map[string]string{catalog.Notify: "true", "com.df.servicePath": strings.Repeat("x", catalog.MaxValue)},
	}
	entries, cut, err := catalog.EncodeAll(catalog.Snapshot{Services: map[string]catalog.Service{"1": large, "2": {ID: "2", Name: "small"}}})
	if err != nil || len(cut) != 1 || cut[0].Service != "large" || !strings.Contains(cut[0].Error(), "service large") {
		t.Fatal(cut, err)
	}
	b := catalog.NewBuilder()
	fill(t, b, entries)
	got := b.Snapshot(1).Services["1"]
	if !got.OptedIn() || len(got.Labels) != 1 || got.Oversize != cut[0].Bytes || got.Oversize <= catalog.MaxValue || got.Replicas != 2 || got.Networks[0] != "waggle" {
		t.Errorf("%+v", got)
	}
	if len(entries[catalog.ServiceKey("1")]) > 1000 {
		t.Errorf("it still takes %d bytes", len(entries[catalog.ServiceKey("1")]))
	}
}

// TestAllServicesTogetherHaveABudget: the largest pay first, and no more of them than needed.
func TestAllServicesTogetherHaveABudget(t *testing.T) {
	s := catalog.Snapshot{Services: map[string]catalog.Service{}}
	add := func(name string, bytes int) {
		s.Services[name] = catalog.Service{ID: name, Name: name, Labels: map[string]string{catalog.Notify: "true", "com.df.servicePath": strings.Repeat("x", bytes)}}
	}
	for i := range 600 {
		add(fmt.Sprintf("fat%03d", i), 60<<10)
	}
	for i := range 100 {
		add(fmt.Sprintf("thin%03d", i), 100)
	}
	entries, cut, err := catalog.EncodeAll(s)
	if err != nil {
		t.Fatal(err)
	}
	total := 0
	for _, value := range entries {
		total += len(value)
	}
	if total > catalog.MaxAll || total < catalog.MaxAll-(61<<10) {
		t.Errorf("they take %d bytes, the budget is %d", total, catalog.MaxAll)
	}
	for _, c := range cut {
		if !strings.HasPrefix(c.Service, "fat") || !c.Others || c.Bytes < 60<<10 || !strings.Contains(c.Error(), "together") {
			t.Errorf("%+v: %v", c, c)
		}
	}
	if len(cut) == 0 || cut[0].Service != "fat000" {
		t.Errorf("of equal ones the first by ID is cut first: %v", cut)
	}
}

// TestFourThousandTasksFit is the case of a mistyped number of replicas.
func TestFourThousandTasksFit(t *testing.T) {
	var tasks []catalog.Task
	for i := range 4000 {
		task := catalog.Task{ID: fmt.Sprintf("task%021d", i), Slot: i, Node: "node567890123456789012345", State: "pending", Desired: "running", Addresses: map[string][]string{"waggle": {"10.0.0.1"}}}
		if i%1000 == 999 {
			task.State = "running"
		}
		tasks = append(tasks, task)
	}
	entries, cut, err := catalog.EncodeAll(catalog.Snapshot{
		Services: map[string]catalog.Service{"1": {ID: "1", Name: "many"}},
		Tasks:    map[string][]catalog.Task{"1": tasks, "2": tasks[:1], "3": {}},
	})
	if err != nil || len(cut) != 1 || cut[0].Service != "many" || cut[0].Tasks != 4000 || !strings.Contains(cut[0].Error(), "4000 tasks") {
		t.Fatal(cut, err)
	}
	value := entries[catalog.TasksKey("1")]
	if len(value) > catalog.MaxTasks || len(value) < catalog.MaxTasks-500 {
		t.Errorf("%d bytes, want nearly %d", len(value), catalog.MaxTasks)
	}
	b := catalog.NewBuilder()
	fill(t, b, entries)
	s := b.Snapshot(1)
	if len(s.Tasks["1"]) != cut[0].Kept || s.Cut["1"] != 4000 || len(s.Cut) != 1 {
		t.Errorf("%d of %d tasks are read, want %d", len(s.Tasks["1"]), s.Cut["1"], cut[0].Kept)
	}
	running := 0
	for i, task := range s.Tasks["1"] {
		if task.Running() {
			running++
		}
		if i > 0 && s.Tasks["1"][i-1].ID >= task.ID {
			t.Fatal("they are not sorted")
		}
	}
	if running != 4 {
		t.Errorf("%d of 4 running tasks are told", running)
	}
	if none, known := s.Tasks["3"]; !known || len(none) > 0 || len(s.Tasks["2"]) != 1 {
		t.Errorf("none is not the same as not known: %v, %v", s.Tasks["2"], none)
	}
	if got := string(entries[catalog.TasksKey("3")]); got != `{"tasks":[],"total":0}` {
		t.Error(got)
	}
}

func isSecret(label string) bool { return strings.HasPrefix(label, "com.df.users") }

func markOf(text string) string { return fmt.Sprint("mark of ", len(text)) }

func TestSecretTextsLieApart(t *testing.T) {
	svc := catalog.Service{
		ID: "1", Name: "web", Labels: map[string]string{catalog.Notify: "true", "com.df.users": "me:secret", "com.df.usersSecret": ""},
		ContainerLabels: map[string]string{"com.df.users": "you:secret", "com.df.port": "80"},
	}
	s := catalog.Snapshot{Services: map[string]catalog.Service{"1": svc}}
	entries, cut, err := catalog.EncodeApart(s, isSecret, markOf)
	if err != nil || len(cut) > 0 {
		t.Fatal(cut, err)
	}
	if open := string(entries[catalog.ServiceKey("1")]); strings.Contains(open, "me:secret") || strings.Contains(open, "you:secret") {
		t.Error(open)
	}
	if svc.Labels["com.df.users"] != "me:secret" || svc.ContainerLabels["com.df.users"] != "you:secret" {
		t.Error("the service that was given is changed")
	}
	b := catalog.NewMergingBuilder()
	fill(t, b, entries)
	got := b.Snapshot(1).Services["1"]
	svc.ContainerLabels = map[string]string{"com.df.users": "", "com.df.port": "80"}
	if !got.Equal(svc) {
		t.Errorf("merged it is %+v, want %+v", got, svc)
	}
	plain := catalog.NewBuilder()
	fill(t, plain, entries)
	if got := plain.Snapshot(1).Services["1"]; len(got.Withheld) != 2 || len(got.Labels) != 1 {
		t.Errorf("without the right to read them it is %+v", got)
	}
	svc.Labels["com.df.users"] = strings.Repeat("x", catalog.MaxValue)
	entries, cut, err = catalog.EncodeApart(s, isSecret, markOf)
	if err != nil || len(cut) != 1 {
		t.Fatal(cut, err)
	}
	if _, ok := entries[catalog.SecretKey("1")]; ok || !strings.Contains(string(entries[catalog.ServiceKey("1")]), `"oversize":`) {
		t.Errorf("what is too large leaves no texts: %q", entries)
	}
}

func TestAServiceCountsAsItWasWhileATextIsMissing(t *testing.T) {
	b := catalog.NewMergingBuilder()
	take := func(key string, text string, revision uint64) {
		t.Helper()
		svc, secrets := catalog.Split(catalog.Service{ID: "1", Labels: map[string]string{"com.df.users": text}}, isSecret, func(text string) string { return text + "!" })
		var v any = svc
		if key == catalog.SecretKey("1") {
			v = secrets
		}
		value, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Put(key, value, revision); err != nil {
			t.Fatal(err)
		}
	}
	is := func(what, text string, revision uint64) {
		t.Helper()
		s := b.Snapshot(0)
		if got := s.Services["1"]; got.Labels["com.df.users"] != text || s.Revisions["1"] != revision || (text == "") != (len(got.Withheld) > 0) {
			t.Errorf("%s: text %q, revision %d, withheld %v; want %q, %d", what, got.Labels["com.df.users"], s.Revisions["1"], got.Withheld, text, revision)
		}
	}
	take(catalog.ServiceKey("1"), "old", 1)
	is("never complete", "", 1)
	take(catalog.SecretKey("1"), "old", 2)
	is("complete", "old", 1)
	b.Touch(catalog.ServiceKey("1"), 3)
	is("written again", "old", 3)
	take(catalog.ServiceKey("1"), "new", 4)
	is("the service came first", "old", 3)
	take(catalog.SecretKey("1"), "new", 5)
	is("both came", "new", 4)
	take(catalog.SecretKey("1"), "newest", 6)
	is("the texts came first", "new", 4)
	b.Touch(catalog.ServiceKey("1"), 7)
	take(catalog.ServiceKey("1"), "newest", 8)
	is("both came again", "newest", 8)
	b.Delete(catalog.ServiceKey("1"))
	if len(b.Snapshot(0).Services) > 0 {
		t.Error("a service that is gone has no former state")
	}
}
