package decide

import (
	"fmt"
	"time"

	"github.com/wagglehq/waggle/scaler/internal/policy"
	"github.com/wagglehq/waggle/scaler/internal/signal"
)

// IsDeploy reports whether a number that somebody else has set is a deploy's and not a
// person's: more than the number differs from what the service was before, or it is the
// base, which is the number that the last deploy brought.
func IsDeploy(base, replicas uint64, differs bool) bool { return differs || replicas == base }

// Deploy is one that has brought a number of its own.
type Deploy struct {
	// Own is the number that was there before.
	Own uint64
	// Rebuilt says that it changed the tasks, Failure what Swarm does if that fails.
	Rebuilt bool
	Failure string
}

// rollback is Swarm's word for going back to what was before an update that fails.
const rollback = "rollback"

// waits reports whether the number comes back when the rollout is over: a write before
// would become what Swarm rolls back to.
func (d Deploy) waits(p policy.Policy) bool {
	switch p.Restore {
	case policy.RestoreAfter:
		return true
	case policy.RestoreNow:
		return false
	}
	return d.Rebuilt && d.Failure == rollback
}

// Restore decides whether the number from before a deploy comes back now. It is false if it
// does not come back at all: the deploy brought as many, or the label says so.
func Restore(p policy.Policy, s State, deploy Deploy, now time.Time) (Decision, bool) {
	p = p.At(now)
	to := min(max(deploy.Own, p.Min), p.Max)
	if p.Restore == policy.RestoreOff || to <= s.Replicas {
		return Decision{}, false
	}
	a := Asked{Want: WantDeploy, Direction: signal.Up}
	d := blank(p, a, s.Replicas, to, now)
	if held, objects := gate(d, question{p, s, a, now}); objects && (held.Code != CodeUpdate || deploy.waits(p)) {
		return held, true
	}
	d.scaled(a)
	d.Reason = fmt.Sprintf("back from %d to %d: a deploy brought the number of its file", d.From, d.To)
	d.Message = fmt.Sprintf("Restoring %s from %d to %d replicas (min: %d, max: %d)", d.Service, d.From, d.To, d.Min, d.Max)
	if p.DryRun {
		d.Code = CodeDryRun
	}
	return d, true
}
