package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
)

// engine is the Docker engine of the node.
var engine = &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "unix", "/var/run/docker.sock")
}}}

func ask(ctx context.Context, path string, v any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://engine/v1.41"+path, nil)
	if err != nil {
		return err
	}
	res, err := engine.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", path, res.Status)
	}
	return json.NewDecoder(res.Body).Decode(v)
}

// container is one as the engine lists it.
type container struct {
	ID     string `json:"Id"`
	Image  string
	Names  []string
	Labels map[string]string
}

// containers tells of memory and time of the node's containers, as cAdvisor does of those
// that the stack file asks it for.
func containers(ctx context.Context, w io.Writer) error {
	var all []container
	if err := ask(ctx, "/containers/json", &all); err != nil {
		return err
	}
	told := make([]strings.Builder, len(all))
	var wait sync.WaitGroup
	for i, c := range all {
		wait.Go(func() { c.tell(ctx, &told[i]) })
	}
	wait.Wait()
	for i := range told {
		if _, err := io.WriteString(w, told[i].String()); err != nil {
			return err
		}
	}
	return nil
}

// tell writes what one container uses; nothing if it has gone meanwhile.
func (c container) tell(ctx context.Context, w io.Writer) {
	var set struct{ HostConfig struct{ Memory float64 } }
	var used struct {
		Memory struct {
			Usage float64            `json:"usage"`
			Stats map[string]float64 `json:"stats"`
		} `json:"memory_stats"`
		CPU struct {
			Usage struct {
				Total float64 `json:"total_usage"`
			} `json:"cpu_usage"`
		} `json:"cpu_stats"`
	}
	if ask(ctx, "/containers/"+c.ID+"/json", &set) != nil || ask(ctx, "/containers/"+c.ID+"/stats?stream=false&one-shot=true", &used) != nil {
		return
	}
	labels := fmt.Sprintf("{id=%q,image=%q,name=%q", "/docker/"+c.ID, c.Image, strings.TrimPrefix(strings.Join(c.Names, ""), "/"))
	for _, name := range []string{"com.docker.swarm.service.name", "com.docker.swarm.task.id", "com.docker.swarm.task.name", "com.docker.stack.namespace"} {
		labels += fmt.Sprintf(",container_label_%s=%q", strings.ReplaceAll(name, ".", "_"), c.Labels[name])
	}
	labels += "}"
	fmt.Fprintf(w, "container_memory_usage_bytes%s %g\n", labels, used.Memory.Usage)
	fmt.Fprintf(w, "container_memory_cache%s %g\n", labels, used.Memory.Stats["file"]+used.Memory.Stats["cache"])
	fmt.Fprintf(w, "container_memory_working_set_bytes%s %g\n", labels, used.Memory.Usage-used.Memory.Stats["inactive_file"])
	fmt.Fprintf(w, "container_spec_memory_limit_bytes%s %g\n", labels, set.HostConfig.Memory)
	fmt.Fprintf(w, "container_cpu_usage_seconds_total%s %g\n", labels, used.CPU.Usage.Total/1e9)
}
