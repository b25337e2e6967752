package stack

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// object is a JSON object.
type object = map[string]any

// Engine speaks to the Docker API. The docker command would add its own start to
// what is measured, and pkg/docker may change nothing but replicas.
type Engine struct{ client *http.Client }

func newEngine(host string) *Engine {
	path := strings.TrimPrefix(host, "unix://")
	var d net.Dialer
	return &Engine{&http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{
		MaxIdleConnsPerHost: 16,
		DialContext:         func(ctx context.Context, _, _ string) (net.Conn, error) { return d.DialContext(ctx, "unix", path) },
	}}}
}

func (e *Engine) call(ctx context.Context, method, path string, body, v any) error {
	var text []byte
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			return err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://engine/v1.41"+path, bytes.NewReader(text))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := e.client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode >= http.StatusBadRequest {
		err = fmt.Errorf("%s %s: %s: %s", method, path, res.Status, bytes.TrimSpace(answer))
	}
	if err == nil && v != nil {
		err = json.Unmarshal(answer, v)
	}
	return err
}

func (e *Engine) post(ctx context.Context, path string, body, v any) error {
	return e.call(ctx, http.MethodPost, path, body, v)
}

// Update changes a service's specification. Swarm itself writes to a service
// while it moves, so a version that is out of date is read again.
func (e *Engine) Update(ctx context.Context, name string, change func(spec map[string]any)) error {
	for {
		var service struct {
			ID      string
			Version struct{ Index uint64 }
			Spec    map[string]any
		}
		if err := e.call(ctx, http.MethodGet, "/services/"+name, nil, &service); err != nil {
			return err
		}
		change(service.Spec)
		err := e.post(ctx, fmt.Sprintf("/services/%s/update?version=%d", service.ID, service.Version.Index), service.Spec, nil)
		if err == nil || !strings.Contains(err.Error(), "out of sequence") {
			return err
		}
	}
}

// Remove removes a service.
func (e *Engine) Remove(ctx context.Context, name string) error {
	return e.call(ctx, http.MethodDelete, "/services/"+name, nil, nil)
}

// Task is a task that is meant to run.
type Task struct {
	ID, NodeID   string
	ServiceID    string
	Slot         int
	DesiredState string
	Status       struct {
		State     string
		Timestamp time.Time
	}
	// NetworksAttachments have the addresses with their masks.
	NetworksAttachments []struct{ Addresses []string }
}

// Tasks returns the tasks of services, of all if none is named, that are meant to run.
func (e *Engine) Tasks(ctx context.Context, services ...string) ([]Task, error) {
	filter := map[string][]string{"desired-state": {"running"}}
	if len(services) > 0 {
		filter["service"] = services
	}
	filters, err := json.Marshal(filter)
	if err != nil {
		return nil, err
	}
	var out []Task
	err = e.call(ctx, http.MethodGet, "/tasks?filters="+url.QueryEscape(string(filters)), nil, &out)
	return out, err
}

// Node is a node of the swarm.
type Node struct {
	ID          string
	Description struct{ Hostname string }
	Status      struct{ State string }
	// ManagerStatus is empty for a worker.
	ManagerStatus struct {
		Leader       bool
		Reachability string
	}
}

// NodeList returns all nodes of the swarm, which no manager knows without a leader.
func (e *Engine) NodeList(ctx context.Context) ([]Node, error) {
	var list []Node
	err := e.call(ctx, http.MethodGet, "/nodes", nil, &list)
	return list, err
}

// Service is a service with its labels.
type Service struct {
	ID   string
	Spec struct {
		Name   string
		Labels map[string]string
	}
	// ServiceStatus counts its tasks.
	ServiceStatus struct{ RunningTasks, DesiredTasks uint64 }
}

// Services returns all services.
func (e *Engine) Services(ctx context.Context) ([]Service, error) {
	var list []Service
	err := e.call(ctx, http.MethodGet, "/services?status=true", nil, &list)
	return list, err
}

// Names returns the names of all services by their IDs.
func (e *Engine) Names(ctx context.Context) (map[string]string, error) {
	list, err := e.Services(ctx)
	names := make(map[string]string, len(list))
	for _, s := range list {
		names[s.ID] = s.Spec.Name
	}
	return names, err
}

// Running waits until a service has so many running tasks and no others, and
// returns when the last of them began to run, by the node's own word.
func (e *Engine) Running(ctx context.Context, service string, want int) (time.Time, error) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		tasks, err := e.Tasks(ctx, service)
		if err != nil {
			return time.Time{}, err
		}
		var last time.Time
		running := 0
		for _, t := range tasks {
			if t.Status.State == "running" {
				running++
				if t.Status.Timestamp.After(last) {
					last = t.Status.Timestamp
				}
			}
		}
		if running == want && len(tasks) == want {
			return last, nil
		}
		select {
		case <-ctx.Done():
			return time.Time{}, errors.Join(fmt.Errorf("%s: %d of %d tasks run: %+v", service, running, want, tasks), ctx.Err())
		case <-tick.C:
		}
	}
}
