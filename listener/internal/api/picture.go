package api

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/wagglehq/waggle/listener/internal/instances"
	"github.com/wagglehq/waggle/listener/internal/known"
	"github.com/wagglehq/waggle/pkg/bus"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/docker"
	"github.com/wagglehq/waggle/pkg/picture"
)

// Pictures answers how all is, for whoever explains it.
type Pictures struct {
	*API
	// Stack is that of Waggle's own services.
	Stack string
	// Accepted are the entries of the bucket of accepted label sets.
	Accepted func() (map[string]bus.Value, bool)
	// Tasks returns all that Swarm remembers of the tasks of some services.
	Tasks func(ctx context.Context, serviceIDs ...string) (map[string][]docker.TaskState, error)
	// Ages tells for how long an instance has not taken up the newest catalog.
	Ages *instances.Ages
	// Decisions returns the newest messages of the stream, oldest first, at most n.
	Decisions func(ctx context.Context, n int) ([]bus.Message, error)
	// Turns counts what changes the picture, and Ended is closed when those who wait for that
	// are to be let go.
	Turns *Turns
	Ended <-chan struct{}
}

// Routes adds the handler.
func (p Pictures) Routes(r chi.Router) {
	r.Get("/v1/picture", p.serve)
}

// mostDecisions is how many decisions are looked through, and decisionPatience
// how long that may take: why a service is not routed is told without them.
const (
	mostDecisions    = 200
	decisionPatience = 300 * time.Millisecond
)

func (p Pictures) picture(ctx context.Context) picture.Picture {
	snapshot, isListed := p.snapshot()
	out := picture.Picture{
		Time: p.Now(), Bus: "away", Failure: p.blind(), Stack: p.Stack, Revision: snapshot.Revision,
		Services: make([]catalog.Service, 0, len(snapshot.Services)), Tasks: make(map[string][]picture.Task, len(snapshot.Tasks)),
	}
	if p.Connected() {
		out.Bus = picture.Connected
	}
	if !isListed && out.Failure == "" {
		out.Failure = "the swarm has not been listed yet: this takes a moment"
	}
	isSecret := known.Secrets(p.Table)
	for _, svc := range snapshot.Services {
		out.Services = append(out.Services, hide(svc, isSecret))
	}
	slices.SortFunc(out.Services, func(a, b catalog.Service) int { return strings.Compare(a.Name, b.Name) })
	out.Nodes = slices.SortedFunc(maps.Values(snapshot.Nodes), func(a, b catalog.Node) int { return strings.Compare(a.ID, b.ID) })
	for id, tasks := range snapshot.Tasks {
		for _, t := range tasks {
			out.Tasks[id] = append(out.Tasks[id], picture.Task{Task: t})
		}
	}
	p.explainTasks(ctx, snapshot, out.Tasks)
	p.Ages.Look(out.Time, snapshot.Revision)
	said := p.said(snapshot)
	for _, id := range slices.Sorted(maps.Keys(said.byService)) {
		for _, s := range said.byService[id] {
			out.Statuses = append(out.Statuses, picture.Status{Status: s.Status, Earlier: s.Earlier})
		}
	}
	for _, i := range instances.Sorted(p.Instances()) {
		if i.Exact {
			seen := i.Said.Seen
			i.Said.Seen = nil
			out.Instances = append(out.Instances, picture.Instance{
				Instance: i.Said, Heard: out.Time.Sub(i.Heard).Seconds(), Behind: p.Ages.Behind(i.Heard, i.Said.Revision).Seconds(),
			})
			if seen != nil && !i.Away {
				add(&out, *seen)
			}
		}
	}
	out.Accepted = p.accepted(isSecret)
	out.Decisions = p.decisions(ctx)
	return out
}

// hide names the labels of a service whose texts are secret instead of telling them. Those of
// services of the catalog are withheld already, with marks that tell equal texts.
func hide(svc catalog.Service, isSecret func(string) bool) catalog.Service {
	marks := svc.Withheld
	svc, secrets := catalog.Split(svc, isSecret, func(string) string { return "" })
	if len(secrets) == 0 {
		return svc
	}
	for full, mark := range marks {
		svc.Withheld[full] = mark
	}
	return svc
}

func (p Pictures) accepted(isSecret func(string) bool) map[string]map[string]catalog.Service {
	values, _ := p.Accepted()
	out := map[string]map[string]catalog.Service{}
	for key, v := range values {
		component, id, ok := strings.Cut(key, ".")
		var svc catalog.Service
		if !ok || json.Unmarshal(v.Data, &svc) != nil {
			continue
		}
		if out[component] == nil {
			out[component] = map[string]catalog.Service{}
		}
		out[component][id] = hide(svc, isSecret)
	}
	return out
}

// decisions are the last ones, by service; nil if they cannot be read.
func (p Pictures) decisions(ctx context.Context) map[string]picture.Decision {
	ctx, cancel := context.WithTimeout(ctx, decisionPatience)
	defer cancel()
	messages, err := p.Decisions(ctx, mostDecisions)
	if err != nil {
		return nil
	}
	out := map[string]picture.Decision{}
	for _, m := range messages {
		var d struct {
			picture.Decision
			Service string `json:"service"`
		}
		if json.Unmarshal(m.Value, &d) == nil {
			out[d.Service] = d.Decision
		}
	}
	return out
}
