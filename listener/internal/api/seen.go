package api

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/docker"
	"github.com/wagglehq/waggle/pkg/picture"
)

// add takes what an instance alone sees into a picture. What several see of a task is told as
// the worst of them has it: one that cannot reach it loses requests.
func add(p *picture.Picture, s catalog.Seen) {
	if s.Certificates != nil {
		if p.Certificates == nil {
			p.Certificates, p.CertificateEnds = map[string][]string{}, map[string]time.Time{}
		}
		for _, c := range s.Certificates {
			p.Certificates[c.Name] = c.Hosts
			if !c.NotAfter.IsZero() {
				p.CertificateEnds[c.Name] = c.NotAfter
			}
		}
	}
	if s.Secrets != nil {
		p.Secrets = slices.Compact(slices.Sorted(slices.Values(append(append([]string{}, p.Secrets...), s.Secrets...))))
	}
	for service, ports := range s.Unreached {
		if p.Probes == nil {
			p.Probes = map[string]map[string]picture.Probe{}
		}
		if p.Probes[service] == nil {
			p.Probes[service] = map[string]picture.Probe{}
		}
		for port, met := range ports {
			p.Probes[service][port] = picture.Probe(met)
		}
	}
	if s.Unscraped != nil {
		if p.Unscraped == nil {
			p.Unscraped = map[string]string{}
		}
		maps.Copy(p.Unscraped, s.Unscraped)
	}
	if s.Alerts != nil {
		if p.Alerts == nil {
			p.Alerts = []picture.Alert{}
		}
		for _, a := range s.Alerts {
			p.Alerts = append(p.Alerts, picture.Alert{Name: a.Name, Service: a.Service, Labels: a.Labels})
		}
	}
}

const (
	// mostExplained is of how many services Swarm is asked for the words on their tasks, and
	// taskPatience how long it may take: without them the picture says what the catalog does.
	mostExplained = 100
	taskPatience  = 400 * time.Millisecond
	// mostPast is how many tasks of one place that are over are told.
	mostPast = 2
)

// explainTasks adds Swarm's own words to the tasks of the services that lack some: errors, exit
// codes, and the last tasks that are over.
func (p Pictures) explainTasks(ctx context.Context, s catalog.Snapshot, tasks map[string][]picture.Task) {
	ids := lacking(s)
	if len(ids) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, taskPatience)
	defer cancel()
	known, err := p.Tasks(ctx, ids...)
	if err != nil {
		return // that Docker does not answer is told elsewhere
	}
	for _, id := range ids {
		tasks[id] = explained(tasks[id], known[id])
	}
}

// lacking are the services with labels of which fewer tasks run than should, or whose update
// ended badly, sorted.
func lacking(s catalog.Snapshot) []string {
	var out []string
	for _, id := range slices.Sorted(maps.Keys(s.Services)) {
		svc := s.Services[id]
		if len(svc.Labels)+len(svc.Withheld)+len(svc.ContainerLabels) == 0 && svc.Oversize == 0 {
			continue
		}
		running := 0
		for _, t := range s.Tasks[id] {
			if t.Running() {
				running++
			}
		}
		isUnder := uint64(running) < svc.Replicas || running == 0 && svc.Mode == catalog.Global || running < len(s.Tasks[id])
		if isUnder || svc.UpdateState != "" && svc.UpdateState != "completed" {
			out = append(out, id)
		}
	}
	return out[:min(len(out), mostExplained)]
}

// explained are the tasks of a service with what Swarm says of them, the oldest first.
func explained(have []picture.Task, known []docker.TaskState) []picture.Task {
	type place struct {
		slot int
		node string
	}
	// The newest first, so that what is told of each place is the last of it.
	known = slices.SortedStableFunc(slices.Values(known), func(a, b docker.TaskState) int { return b.Created.Compare(a.Created) })
	past := map[place]int{}
	var out []picture.Task
	for _, t := range known {
		at := place{slot: t.Slot}
		if t.Slot == 0 {
			at.node = t.Node
		}
		if t.Desired != "running" && t.Desired != "ready" {
			if past[at]++; past[at] > mostPast {
				continue
			}
		}
		one := picture.Task{Task: t.Task, Error: t.Error, Exit: t.Exit}
		if i := slices.IndexFunc(have, func(h picture.Task) bool { return h.ID == t.ID }); i >= 0 {
			one.Addresses = have[i].Addresses
		}
		out = append(out, one)
	}
	for _, h := range have {
		if !slices.ContainsFunc(out, func(o picture.Task) bool { return o.ID == h.ID }) {
			out = append(out, h)
		}
	}
	slices.Reverse(out)
	slices.SortStableFunc(out, func(a, b picture.Task) int { return cmp.Compare(a.Slot, b.Slot) })
	return out
}
