package docker_test

import (
	"testing"

	"github.com/wagglehq/waggle/pkg/docker"
	"github.com/wagglehq/waggle/pkg/dockertest"
)

// TestScaleTellsADeployFromAPerson by the specification that was there before.
func TestScaleTellsADeployFromAPerson(t *testing.T) {
	swarm := dockertest.New(t)
	id := swarm.Create(optedIn("web", 3))
	c := connect(t, swarm.Host(), docker.AllowScale)
	in := func(spec map[string]any, names ...string) map[string]any {
		for _, name := range names {
			inner, _ := spec[name].(map[string]any)
			if inner == nil {
				inner = map[string]any{}
				spec[name] = inner
			}
			spec = inner
		}
		return spec
	}
	for _, step := range []struct {
		name             string
		change           func(spec map[string]any)
		before           uint64
		differs, rebuilt bool
		failure          string
	}{
		{"never changed", nil, 3, false, false, "pause"},
		{"the number alone", func(spec map[string]any) { in(spec, "Mode", "Replicated")["Replicas"] = 9 }, 3, false, false, "pause"},
		{"nothing", func(map[string]any) {}, 9, false, false, "pause"},
		{"the number and a label", func(spec map[string]any) {
			in(spec, "Mode", "Replicated")["Replicas"] = 3
			in(spec, "Labels")["com.df.scaleMax"] = "12"
		}, 9, true, false, "pause"},
		{"a label that is none of ours", func(spec map[string]any) { in(spec, "Labels")["who"] = "me" }, 3, true, false, "pause"},
		{"another image", func(spec map[string]any) { in(spec, "TaskTemplate", "ContainerSpec")["Image"] = "app:2" }, 3, true, true, "pause"},
		{"what follows a failure", func(spec map[string]any) { in(spec, "UpdateConfig")["FailureAction"] = "rollback" }, 3, true, false, "rollback"},
		{"the number alone again", func(spec map[string]any) { in(spec, "Mode", "Replicated")["Replicas"] = 4 }, 3, false, false, "rollback"},
	} {
		if step.change != nil {
			swarm.Change("web", step.change)
		}
		got, err := c.Scale(t.Context(), id)
		if err != nil || got.Before != step.before || got.Differs != step.differs || got.Rebuilt != step.rebuilt || got.Failure != step.failure {
			t.Errorf("%s: %v, before %d, differs %v, rebuilt %v, then %s; want %d, %v, %v, %s",
				step.name, err, got.Before, got.Differs, got.Rebuilt, got.Failure, step.before, step.differs, step.rebuilt, step.failure)
		}
	}
}
