package docker

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/docker/docker/api/types/swarm"
	"github.com/wagglehq/waggle/pkg/catalog"
)

// stackLabel is how docker stack deploy marks what belongs to a stack.
const stackLabel = "com.docker.stack.namespace"

// attachments returns the networks of a service's specification.
func attachments(spec swarm.ServiceSpec) []swarm.NetworkAttachmentConfig {
	if len(spec.TaskTemplate.Networks) > 0 {
		return spec.TaskTemplate.Networks
	}
	return spec.Networks //nolint:staticcheck // services that were made by old clients have theirs here
}

func networksOf(services []swarm.Service) map[string]bool {
	out := map[string]bool{}
	for _, s := range services {
		for _, n := range attachments(s.Spec) {
			out[n.Target] = true
		}
	}
	return out
}

// serviceValue is the catalog's view of a service; networkNames are by ID. A
// network that has no name is left out: nothing can be on it.
func serviceValue(s swarm.Service, networkNames map[string]string, key []byte) catalog.Service {
	mode, replicas := modeOf(s.Spec.Mode)
	out := catalog.Service{
		ID: s.ID, Name: s.Spec.Name, Stack: s.Spec.Labels[stackLabel],
		Labels: ours(s.Spec.Labels), Mode: mode, Replicas: replicas,
		EndpointMode: string(swarm.ResolutionModeVIP), CreatedAt: s.CreatedAt.UTC(), UpdateState: updateState(s),
		Update: updateOf(s), Spec: hash(s.Spec, key), Ports: portsOf(s),
	}
	out.Previous = previousOf(s, out, key)
	if c := s.Spec.TaskTemplate.ContainerSpec; c != nil {
		out.Image = c.Image
		out.ContainerLabels = ours(c.Labels)
	}
	if e := s.Spec.EndpointSpec; e != nil && e.Mode != "" {
		out.EndpointMode = string(e.Mode)
	}
	for _, n := range attachments(s.Spec) {
		if name := networkNames[n.Target]; name != "" {
			out.Networks = append(out.Networks, name)
		}
	}
	slices.Sort(out.Networks)
	out.Networks = slices.Compact(out.Networks)
	return out
}

// modeOf returns the mode and the number of tasks asked for: replicas, or how
// many run of a job at a time; 0 where nodes decide.
func modeOf(m swarm.ServiceMode) (catalog.Mode, uint64) {
	switch {
	case m.Global != nil:
		return catalog.Global, 0
	case m.GlobalJob != nil:
		return catalog.GlobalJob, 0
	case m.ReplicatedJob != nil:
		return catalog.ReplicatedJob, or(m.ReplicatedJob.MaxConcurrent, 1)
	case m.Replicated != nil:
		return catalog.Replicated, or(m.Replicated.Replicas, 1)
	}
	return catalog.Replicated, 1 // what Swarm does with a specification that names no mode
}

func or(n *uint64, def uint64) uint64 {
	if n == nil {
		return def
	}
	return *n
}

// updateState leaves out the state that says that nothing is under way.
func updateState(s swarm.Service) string {
	if s.UpdateStatus == nil || s.UpdateStatus.State == swarm.UpdateStateCompleted {
		return ""
	}
	return string(s.UpdateStatus.State)
}

// ours returns the labels under the prefix, nil if there are none.
func ours(labels map[string]string) map[string]string {
	var out map[string]string
	for name, text := range labels {
		if strings.HasPrefix(name, catalog.Prefix) {
			if out == nil {
				out = map[string]string{}
			}
			out[name] = text
		}
	}
	return out
}

// updateOf returns what Swarm says of the last rolling update, if there was one.
func updateOf(s swarm.Service) *catalog.Update {
	status := s.UpdateStatus
	if status == nil || status.State == "" {
		return nil
	}
	// What follows a failure is up to the update, and while it is taken back to that of
	// the way back. Swarm pauses where the specification says nothing.
	out := &catalog.Update{State: string(status.State), Message: status.Message, Failure: swarm.UpdateFailureActionPause}
	config := s.Spec.UpdateConfig
	if strings.HasPrefix(out.State, "rollback_") {
		config = s.Spec.RollbackConfig
	}
	if config != nil && config.FailureAction != "" {
		out.Failure = config.FailureAction
	}
	if status.StartedAt != nil {
		out.Started = status.StartedAt.UTC()
	}
	return out
}

// portsOf returns the ports as they are published, or while Swarm has not yet given out
// any as they are asked for.
func portsOf(s swarm.Service) []catalog.Port {
	ports := s.Endpoint.Ports
	if e := s.Spec.EndpointSpec; len(ports) == 0 && e != nil {
		ports = e.Ports
	}
	var out []catalog.Port
	for _, p := range ports {
		out = append(out, catalog.Port{
			Published: p.PublishedPort, Target: p.TargetPort,
			Protocol: cmp.Or(string(p.Protocol), string(swarm.PortConfigProtocolTCP)),
			Mode:     cmp.Or(string(p.PublishMode), string(swarm.PortConfigPublishModeIngress)),
		})
	}
	return catalog.Published(out)
}

// previousOf returns what the specification was before, if that was anything else: a
// deploy that changes nothing makes the two the same. Its hash is that of the service
// if nothing but the number of replicas has changed, labels included, which are in
// no hash themselves: who scales by hand changes that number alone.
func previousOf(s swarm.Service, present catalog.Service, key []byte) *catalog.Previous {
	if s.PreviousSpec == nil {
		return nil
	}
	_, replicas := modeOf(s.PreviousSpec.Mode)
	out := &catalog.Previous{Replicas: replicas, Spec: hash(*s.PreviousSpec, key)}
	if out.Spec == present.Spec && !maps.Equal(s.Spec.Labels, s.PreviousSpec.Labels) {
		out.Spec = mark([]byte(out.Spec+" with other labels"), key)
	}
	if out.Spec == present.Spec && replicas == present.Replicas {
		return nil
	}
	return out
}
