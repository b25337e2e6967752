package parts_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/wagglehq/waggle/compose/e2e/parts"
)

// scene is a world without a swarm.
type scene struct {
	*parts.Stage
	left bool
}

func (s *scene) Whole(context.Context) error { return nil }
func (s *scene) Leave(context.Context) error { s.left = true; return nil }

// TestOn: each part that is asked for is played, whatever became of those before, and the
// parts that failed are named.
func TestOn(t *testing.T) {
	var out bytes.Buffer
	s := &scene{Stage: parts.NewStage(nil, &out)}
	rooms := []parts.Room[*scene]{{Name: "a room", Parts: []parts.Part[*scene]{
		{Name: "first", What: "all is well", Play: func(s *scene, _ context.Context) error { s.Say("done"); return nil }},
		{Name: "second", What: "nobody asks for it", Play: func(*scene, context.Context) error { return errors.New("it was played") }},
	}}}
	open := func(context.Context, *parts.Stage) (*scene, error) { return s, nil }
	if err := parts.On(t.Context(), s.Stage, []string{"first"}, rooms, open); err != nil || !s.left || !strings.Contains(out.String(), "\n- done\n\nPASS first (") {
		t.Errorf("it says %v and %q", err, out.String())
	}
	if err := parts.On(t.Context(), s.Stage, []string{"third"}, rooms, open); err == nil || !strings.Contains(err.Error(), `"third"; the parts are first, second`) {
		t.Errorf("of a part that is not there it says %v", err)
	}
}
