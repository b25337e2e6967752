package docker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"reflect"
	"strconv"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/swarm"
	"github.com/wagglehq/waggle/pkg/catalog"
)

// Scale is what one needs to know of a service in order to scale it.
type Scale struct {
	ID, Name string
	// Version is what SetReplicas takes.
	Version uint64
	// Replicas is the number asked for, Running the number of tasks that run on
	// nodes that are not down, Pending that of tasks for which no node has room.
	Replicas, Running, Pending uint64
	// UpdateState is as in catalog.Service.
	UpdateState string
	// Silent says that tasks are not of the service's specification, and that Swarm
	// has not said yet that it replaces them: a change of the service made now would
	// become what Swarm rolls back to.
	Silent bool
	// Labels are the service labels under com.df.
	Labels map[string]string
	Mode   catalog.Mode
	// Before is the number asked for by the specification before, Differs says that more
	// than the number differs from that, and Rebuilt that tasks do. Without such a
	// specification it is as if it were the same.
	Before           uint64
	Differs, Rebuilt bool
	// Failure is what Swarm does if an update fails ("pause", "continue", "rollback").
	Failure string
}

// Scale reads a service by its ID or name; the error is ErrNotFound if there is none.
func (c *Client) Scale(ctx context.Context, serviceID string) (Scale, error) {
	svc, err := c.inspect(ctx, serviceID)
	if err != nil {
		return Scale{}, err
	}
	list, err := tasksAs[taskWithSpec](ctx, c, wantedStates(), []string{svc.ID})
	if err != nil {
		return Scale{}, err
	}
	down, err := c.isDown(ctx)
	if err != nil {
		return Scale{}, err
	}
	mode, replicas := modeOf(svc.Spec.Mode)
	out := Scale{
		ID: svc.ID, Name: svc.Spec.Name, Version: svc.Version.Index, Replicas: replicas,
		UpdateState: updateState(svc), Labels: ours(svc.Spec.Labels), Mode: mode, Before: replicas, Failure: swarm.UpdateFailureActionPause,
	}
	if config := svc.Spec.UpdateConfig; config != nil && config.FailureAction != "" {
		out.Failure = config.FailureAction
	}
	if previous := svc.PreviousSpec; previous != nil {
		_, out.Before = modeOf(previous.Mode)
		out.Rebuilt = !reflect.DeepEqual(previous.TaskTemplate, svc.Spec.TaskTemplate)
		out.Differs = !reflect.DeepEqual(withoutNumber(*previous), withoutNumber(svc.Spec))
	}
	plain := make([]task, len(list))
	for i, t := range list {
		plain[i] = t.task
		isOld := svc.UpdateStatus == nil && !over(t.Status.State) && !down[t.NodeID] && !t.isOf(svc.Spec.TaskTemplate)
		out.Silent = out.Silent || isOld
	}
	for _, t := range taskListing(plain, down).Tasks[svc.ID] {
		switch {
		case t.Running():
			out.Running++
		case t.Unplaced():
			out.Pending++
		}
	}
	return out, nil
}

// withoutNumber is a specification without its number of replicas.
func withoutNumber(spec swarm.ServiceSpec) swarm.ServiceSpec {
	if spec.Mode.Replicated != nil {
		spec.Mode.Replicated = &swarm.ReplicatedService{}
	}
	return spec
}

// Numbers returns how many replicas each replicated service asks for, by its full name.
func (c *Client) Numbers(ctx context.Context) (map[string]uint64, error) {
	services, err := call(ctx, c, kindServices, "list services", func(ctx context.Context, s *session) ([]swarm.Service, error) {
		return s.sdk.ServiceList(ctx, swarm.ServiceListOptions{})
	})
	if err != nil {
		return nil, err
	}
	out := make(map[string]uint64, len(services))
	for _, svc := range services {
		if mode, replicas := modeOf(svc.Spec.Mode); mode == catalog.Replicated {
			out[svc.Spec.Name] = replicas
		}
	}
	return out, nil
}

// taskWithSpec is a task with what it was made of.
type taskWithSpec struct {
	task
	Spec swarm.TaskSpec
}

// isOf reports whether a task is of this specification, as Swarm sees it: where it may run
// is no reason to replace one that may stay where it is.
func (t taskWithSpec) isOf(spec swarm.TaskSpec) bool {
	have := t.Spec
	have.Placement, spec.Placement = nil, nil
	have.Runtime, spec.Runtime = "", "" // the engine tells it of services alone
	return reflect.DeepEqual(have, spec)
}

// SetReplicas sets the number of replicas of a service that opted in, if the
// service still has the version that Scale returned. The errors to recognise are
// ErrConflict, ErrNotFound, ErrNotReplicated and ErrNotOptedIn.
//
// What is sent is the very specification that the daemon has, byte for byte but
// for the number: going through the SDK's types would drop whatever a newer
// daemon knows besides.
func (c *Client) SetReplicas(ctx context.Context, serviceID string, version, replicas uint64) error {
	have, err := c.read(ctx, serviceID)
	if err != nil {
		return err
	}
	if have.Version.Index != version {
		return fmt.Errorf("service %s: %w: it has version %d, not %d", serviceID, ErrConflict, have.Version.Index, version)
	}
	spec, err := withReplicas(have.Spec, replicas)
	if err != nil {
		return fmt.Errorf("service %s: %w", serviceID, err)
	}
	if spec == nil {
		return nil // it has that number already
	}
	_, err = call(ctx, c, kindUpdate, "update service "+serviceID, func(ctx context.Context, s *session) (struct{}, error) {
		return struct{}{}, c.update(ctx, s, have.ID, version, spec)
	})
	if err == nil || ctx.Err() != nil {
		return err
	}
	// The daemon answers a wrong version with a plain 500, and 404 also for a network
	// that is gone, so what became of the service is asked instead of what the text says.
	now, readErr := c.read(ctx, serviceID)
	switch {
	case errors.Is(readErr, ErrNotFound):
		return readErr
	case readErr == nil && now.Version.Index != version:
		return fmt.Errorf("%w: %w", ErrConflict, err)
	case errors.Is(err, ErrNotFound):
		return fmt.Errorf("service %s: refused: %v", serviceID, err) //nolint:errorlint // it is the service that would be taken for gone
	}
	return err
}

// raw is a service as the daemon tells it, its specification untouched.
type raw struct {
	ID      string
	Version struct{ Index uint64 }
	Spec    json.RawMessage
}

func (c *Client) read(ctx context.Context, serviceID string) (raw, error) {
	return call(ctx, c, kindService, "read service "+serviceID, func(ctx context.Context, s *session) (raw, error) {
		if strings.ContainsAny(serviceID, "/?#%") || serviceID == "" {
			return raw{}, errdefs.ErrNotFound
		}
		var out raw
		res, err := c.sendWhole(ctx, s, http.MethodGet, "/services/"+serviceID, nil, nil)
		if err != nil {
			return raw{}, err
		}
		defer func() { _ = res.Body.Close() }()
		err = json.NewDecoder(res.Body).Decode(&out)
		return out, err
	})
}

func (c *Client) update(ctx context.Context, s *session, id string, version uint64, spec []byte) error {
	query := url.Values{
		"version": {strconv.FormatUint(version, 10)},
		// The registry's credentials are those the service has now;
		// "previous-spec" is the specification before that, which a service that
		// was never updated does not have.
		"registryAuthFrom": {"spec"},
	}
	res, err := c.sendWhole(ctx, s, http.MethodPost, "/services/"+id+"/update", query, spec)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	_, err = io.Copy(io.Discard, io.LimitReader(res.Body, 1<<20)) // warnings, which concern images
	return err
}

// withReplicas returns a specification with that number of replicas and nothing
// else changed, or nil if it has it already.
func withReplicas(spec []byte, replicas uint64) ([]byte, error) {
	var known struct {
		Labels map[string]string
		Mode   struct{ Replicated *struct{ Replicas *uint64 } }
	}
	if err := json.Unmarshal(spec, &known); err != nil {
		return nil, fmt.Errorf("specification: %w", err)
	}
	switch {
	case known.Mode.Replicated == nil:
		return nil, ErrNotReplicated
	case !(catalog.Service{Labels: known.Labels}).OptedIn():
		return nil, fmt.Errorf("%w: it does not carry the label %s=true", ErrNotOptedIn, catalog.Notify)
	case known.Mode.Replicated.Replicas != nil && *known.Mode.Replicated.Replicas == replicas:
		return nil, nil
	}
	return with(spec, json.RawMessage(strconv.FormatUint(replicas, 10)), "Mode", "Replicated", "Replicas")
}

// with returns an object in which the field at path has the given value and all
// other fields have their own, unread.
func with(object, value json.RawMessage, path ...string) (json.RawMessage, error) {
	if len(path) == 0 {
		return value, nil
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(object, &fields); err != nil {
		return nil, fmt.Errorf("specification: %w", err)
	}
	inner, err := with(fields[path[0]], value, path[1:]...)
	if err != nil {
		return nil, err
	}
	fields[path[0]] = inner
	return json.Marshal(fields)
}
