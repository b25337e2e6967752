package why

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/label"
	"github.com/wagglehq/waggle/pkg/picture"
	"github.com/wagglehq/waggle/pkg/scaling"
)

// running are the tasks that run on nodes that are ready.
func (w *world) running(svc catalog.Service) (tasks []picture.Task, down []string) {
	for _, t := range w.Tasks[svc.ID] {
		if !t.Running() {
			continue
		}
		i := slices.IndexFunc(w.Nodes, func(n catalog.Node) bool { return n.ID == t.Node })
		if i >= 0 && w.Nodes[i].State != "ready" {
			down = append(down, fmt.Sprintf("the node %s is %s", w.Nodes[i].Hostname, w.Nodes[i].State))
			continue
		}
		tasks = append(tasks, t)
	}
	return tasks, slices.Compact(down)
}

func (w *world) tasks(svc catalog.Service) Rung {
	r := Rung{Rung: "tasks", State: OK}
	tasks, down := w.running(svc)
	failed, under := w.words(svc)
	replicas := svc.Mode == catalog.Replicated || svc.Mode == catalog.ReplicatedJob || svc.Mode == ""
	count := fmt.Sprintf("%d tasks run", len(tasks))
	if replicas {
		count = fmt.Sprintf("%d of %d tasks run", len(tasks), svc.Replicas)
	}
	switch {
	case slices.Contains([]string{"paused", "rollback_paused", "rollback_completed"}, svc.UpdateState):
		r.State, r.Text = Broken, fmt.Sprintf("the update is %s; %s", strings.ReplaceAll(svc.UpdateState, "_", " "), count)
		r.Fix = "mend what made it fail, then docker service update " + svc.Name
		r.Text = with(r.Text, failed)
	case replicas && svc.Replicas == 0 && scaling.MaySleep(catalog.Prefix, svc.Labels):
		r.Text = "it sleeps at 0 replicas (com.df.scaleMin=0); a request over HTTP wakes it"
	case replicas && svc.Replicas == 0:
		r.State, r.Text, r.Fix = Broken, "it is scaled to 0 replicas", "docker service scale "+svc.Name+"=1"
	case len(tasks) > 0 && replicas && uint64(len(tasks)) < svc.Replicas:
		r.State, r.Text, r.Fix = Warn, with(with(with(count, failed), under), strings.Join(down, "; ")), "docker service ps --no-trunc "+svc.Name
	case len(tasks) > 0:
		r.Text = count
	case len(down) > 0:
		r.State, r.Text, r.Fix = Broken, with(count, strings.Join(down, "; ")), "docker node ls, and docker service ps "+svc.Name
	default:
		r.State, r.Text, r.Fix = Broken, with(with(count, failed), under), remedy(svc, failed+" "+under)
	}
	return r
}

func with(text, more string) string {
	if more == "" {
		return text
	}
	return text + ": " + more
}

// words are what Docker says of the tasks that ended badly, and of those under way.
func (w *world) words(svc catalog.Service) (failed, under string) {
	errors, states := map[string]bool{}, map[string]int{}
	for _, t := range w.Tasks[svc.ID] {
		switch {
		case t.Error != "":
			errors[label.Show(t.Error, false)] = true
		case t.Desired == "running" && t.State != "running":
			states[t.State]++
		}
	}
	var on []string
	for _, s := range slices.Sorted(maps.Keys(states)) {
		on = append(on, fmt.Sprintf("%d %s", states[s], s))
	}
	return strings.Join(slices.Sorted(maps.Keys(errors)), "; "), strings.Join(on, ", ")
}

// remedy is what to do about Docker's words.
func remedy(svc catalog.Service, words string) string {
	lower := strings.ToLower(words)
	has := func(parts ...string) bool {
		return slices.ContainsFunc(parts, func(p string) bool { return strings.Contains(lower, p) })
	}
	switch {
	case has("no such image", "manifest", "pull", "not found"):
		return "check the name of the image, and that each node may pull it: docker stack deploy --with-registry-auth"
	case has("no suitable node", "constraint", "insufficient"):
		return "loosen placement constraints or reservations, or add a node that fits the constraints: docker node ls"
	case has("unhealthy"):
		return "see what its health check says: docker inspect of the container, docker service logs " + svc.Name
	case has("non-zero exit", "task:"):
		return "see why it ends: docker service logs " + svc.Name
	}
	return "wait, or docker service ps --no-trunc " + svc.Name
}

// speaksTLS reports whether labels make the proxy speak TLS to the tasks.
func speaksTLS(svc catalog.Service) bool {
	for full, text := range svc.Labels {
		name, _ := label.SplitIndex(full)
		switch strings.TrimPrefix(name, catalog.Prefix) {
		case "sslVerifyNone":
			if strings.EqualFold(strings.TrimSpace(text), "true") {
				return true
			}
		case "sslServerName", "sslCa":
			return true
		}
	}
	return false
}

func (w *world) reach(svc catalog.Service, tasks Rung) Rung {
	if !w.asksRoute(svc) || w.isElsewhere(svc) {
		return Rung{"reach", None, "", ""}
	}
	if running, _ := w.running(svc); len(running) == 0 {
		return Rung{"reach", Wait, "no task runs", ""}
	}
	_ = tasks
	vip := svc.Labels[catalog.Prefix+"discoveryType"] == "vip"
	probes := w.Probes[svc.Name]
	known := false
	for _, full := range slices.Sorted(maps.Keys(svc.Labels)) {
		if name, _ := label.SplitIndex(full); name != catalog.Prefix+"port" {
			continue
		}
		port := svc.Labels[full]
		if probe, ok := probes["vip:"+port]; ok && vip {
			known = true
			if text := meets(probe, port, speaksTLS(svc)); text != "" {
				return Rung{"reach", Broken, "by the virtual IP (vip): " + text, "remove com.df.discoveryType: then the tasks themselves are asked"}
			}
		} else if probe, ok := probes[port]; ok && !vip {
			known = true
			if text := meets(probe, port, speaksTLS(svc)); text != "" {
				return Rung{"reach", Broken, text, mend(probe, full, speaksTLS(svc))}
			}
		}
	}
	if !known {
		if s, ok := w.status("proxy", svc); ok && s.State == catalog.StateApplied {
			return Rung{"reach", OK, "the proxy has the addresses of the tasks", ""}
		}
		return Rung{"reach", Wait, "the proxy has not tried it", ""}
	}
	return Rung{"reach", OK, "the proxy reaches the tasks", ""}
}

// meets says what is wrong with what a connection meets, empty if nothing is.
func meets(p picture.Probe, port string, tls bool) string {
	switch {
	case p == picture.Refused:
		return "the connection to port " + port + " is refused"
	case p == picture.Timeout:
		return "the connection to port " + port + " timed out: no answer"
	case p == picture.TLS && !tls:
		return "port " + port + " speaks TLS, and the proxy speaks HTTP in clear text to it"
	case p == picture.HTTP && tls:
		return "port " + port + " speaks HTTP in clear text, and the proxy speaks TLS to it"
	}
	return ""
}

func mend(p picture.Probe, portLabel string, tls bool) string {
	switch {
	case p == picture.TLS:
		return "set com.df.sslVerifyNone=true, or com.df.sslServerName with com.df.sslCa, so that the proxy speaks TLS"
	case p == picture.HTTP && tls:
		return "remove com.df.sslVerifyNone, com.df.sslServerName and com.df.sslCa"
	}
	return "set " + portLabel + " to the port on which it listens, and let it listen on 0.0.0.0, not on 127.0.0.1"
}
