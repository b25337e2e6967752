package decide_test

import (
	"testing"
	"time"

	"github.com/wagglehq/waggle/scaler/internal/decide"
	"github.com/wagglehq/waggle/scaler/internal/policy"
)

func TestWhoHasSetANumber(t *testing.T) {
	for _, c := range []struct {
		name           string
		base, replicas uint64
		differs        bool
		deploy         bool
	}{
		{"another number and other labels", 3, 5, true, true},
		{"the number of the file again", 3, 3, false, true},
		{"a number alone", 3, 4, false, false},
	} {
		if got := decide.IsDeploy(c.base, c.replicas, c.differs); got != c.deploy {
			t.Errorf("%s: a deploy is %v", c.name, got)
		}
	}
}

func TestRestore(t *testing.T) {
	plain := policy.Policy{ServiceID: "id", Service: "web", Min: 2, Max: 12}
	with := func(change func(*policy.Policy)) policy.Policy {
		p := plain
		change(&p)
		return p
	}
	rebuilt := decide.Deploy{Own: 9, Rebuilt: true, Failure: "rollback"}
	for _, c := range []struct {
		name   string
		policy policy.Policy
		state  decide.State
		deploy decide.Deploy
		// code is empty if nothing comes back.
		code decide.Code
		to   uint64
	}{
		{"at once", plain, decide.State{}, decide.Deploy{Own: 9}, "restored", 9},
		{"within the new bounds", with(func(p *policy.Policy) { p.Max = 5 }), decide.State{}, decide.Deploy{Own: 9}, "restored", 5},
		{"up to the new least", with(func(p *policy.Policy) { p.Min = 11 }), decide.State{}, decide.Deploy{Own: 9}, "restored", 11},
		{"never down", plain, decide.State{Replicas: 10}, decide.Deploy{Own: 9}, "", 0},
		{"nothing to bring back", plain, decide.State{Replicas: 9}, decide.Deploy{Own: 9}, "", 0},
		{"the new bounds leave nothing", with(func(p *policy.Policy) { p.Max = 3 }), decide.State{}, decide.Deploy{Own: 9}, "", 0},
		{"the label says never", with(func(p *policy.Policy) { p.Restore = policy.RestoreOff }), decide.State{}, decide.Deploy{Own: 9}, "", 0},

		{"new tasks that Swarm would roll back", plain, decide.State{UpdateState: "updating"}, rebuilt, "update", 3},
		{"before Swarm's first word", plain, decide.State{Silent: true}, rebuilt, "update", 3},
		{"while they are rolled back", plain, decide.State{UpdateState: "rollback_started"}, rebuilt, "update", 3},
		{"when the rollout is over", plain, decide.State{UpdateState: "completed"}, rebuilt, "restored", 9},
		{"new tasks that Swarm would leave", plain, decide.State{UpdateState: "updating"}, decide.Deploy{Own: 9, Rebuilt: true, Failure: "pause"}, "restored", 9},
		{"the same tasks", plain, decide.State{UpdateState: "updating"}, decide.Deploy{Own: 9, Failure: "rollback"}, "restored", 9},
		{"the label says now", with(func(p *policy.Policy) { p.Restore = policy.RestoreNow }), decide.State{UpdateState: "updating"}, rebuilt, "restored", 9},
		{"the label says after", with(func(p *policy.Policy) { p.Restore = policy.RestoreAfter }), decide.State{UpdateState: "updating"}, decide.Deploy{Own: 9}, "update", 3},
		{"a paused update", plain, decide.State{UpdateState: "paused"}, decide.Deploy{Own: 9}, "update_paused", 3},

		{"the operator's stop", plain, decide.State{Stopped: "moving"}, decide.Deploy{Own: 9}, "stopped", 3},
		{"switched off", with(func(p *policy.Policy) { p.Off = true }), decide.State{}, decide.Deploy{Own: 9}, "off", 3},
		{"only trying", with(func(p *policy.Policy) { p.DryRun = true }), decide.State{}, decide.Deploy{Own: 9}, "dry_run", 9},
		{"past all else", plain, decide.State{Blind: true, Pending: 2}, decide.Deploy{Own: 9}, "restored", 9},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.state.Replicas == 0 {
				c.state.Replicas = 3
			}
			d, back := decide.Restore(c.policy, c.state, c.deploy, time.Unix(0, 0))
			if back != (c.code != "") || d.Code != c.code || back && (d.To != c.to || d.From != 3 || d.Want != decide.WantDeploy || d.Reason == "") {
				t.Errorf("%v: %s from %d to %d by %s, want %q to %d", back, d.Code, d.From, d.To, d.Want, c.code, c.to)
			}
		})
	}
}
