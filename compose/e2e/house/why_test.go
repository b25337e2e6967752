package house

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/wagglehq/waggle/pkg/picture"
)

// TestWhyAsTheHouseLives: the program tells of running components what it tells of a world that
// is made up, and what happened is told with its reason.
func TestWhyAsTheHouseLives(t *testing.T) {
	t.Parallel()
	h := open(t)
	program := h.waggle()
	h.swarm.Create(h.service("web", "/web", "127.0.0.2"))
	h.answers("/web", "127.0.0.2")
	// why is the first rung that is broken, with its text.
	why := func(want, says string) {
		t.Helper()
		h.eventually(fmt.Sprintf("%q is broken, with %q", want, says), func() error {
			cmd := exec.CommandContext(t.Context(), program, "why", "web", "-o", "json", "-url", "http://"+h.addr("listener"))
			out, err := cmd.Output()
			var answer struct {
				First string                              `json:"first_broken"`
				Rungs []struct{ Rung, State, Text string } `json:"rungs"`
			}
			if json.Unmarshal(out, &answer) != nil {
				return fmt.Errorf("%w: %s", err, out)
			}
			i := slices.IndexFunc(answer.Rungs, func(r struct{ Rung, State, Text string }) bool { return r.Rung == answer.First })
			if answer.First != want || want != "" && !strings.Contains(answer.Rungs[i].Text, says) {
				return fmt.Errorf("%s", out)
			}
			return nil
		})
	}
	why("", "")
	nobody := strconv.Itoa(freePorts(t, "nobody")["nobody"])
	h.swarm.Relabel("web", h.labels("/web", "port", nobody))
	why("reach", "the connection to port "+nobody+" is refused")
	h.swarm.Relabel("web", h.labels("/web"))
	why("", "")

	var happened struct{ Events []picture.Event }
	h.eventually("what happened is told", func() error {
		if err := h.get("listener", "/v1/events?limit=1000", &happened); err != nil {
			return err
		}
		for _, want := range []struct {
			kind          picture.Kind
			service, says string
		}{
			{picture.Created, "web", "created"}, {picture.Changed, "web", "com.df.port"}, {picture.StatusNow, "web", "proxy: applied"},
			{picture.Reloaded, "", "it is the first configuration since the proxy started"},
		} {
			if !slices.ContainsFunc(happened.Events, func(e picture.Event) bool {
				return e.Kind == want.kind && e.Service == want.service && strings.Contains(e.Text, want.says)
			}) {
				return fmt.Errorf("no %s of %q with %q: %+v", want.kind, want.service, want.says, happened.Events)
			}
		}
		return nil
	})
}
