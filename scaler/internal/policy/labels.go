package policy

import (
	"slices"

	"github.com/wagglehq/waggle/pkg/label"
	"github.com/wagglehq/waggle/pkg/scaling"
)

// The labels of the scaler, without prefix.
const (
	scaleMin           = scaling.Min
	scaleMax           = scaling.Max
	scaleUpBy          = "scaleUpBy"
	scaleDownBy        = "scaleDownBy"
	scaleCooldownUp    = "scaleCooldownUp"
	scaleCooldownDown  = "scaleCooldownDown"
	scale              = "scale"
	scaleStabilizeUp   = "scaleStabilizeUp"
	scaleStabilizeDown = "scaleStabilizeDown"
	scaleUpMost        = "scaleUpMost"
	scaleDownMost      = "scaleDownMost"
	scaleFallback      = "scaleFallback"
	scaleWhen          = "scaleWhen"
	scaleWake          = "scaleWake"
	scaleRestore       = "scaleRestore"
)

// The words of scale.
const (
	on     = "on"
	off    = "off"
	dryRun = "dry-run"
)

// The words of scaleRestore.
const (
	RestoreNow   = "now"
	RestoreAfter = "after"
	RestoreOff   = "off"
)

// Labels describes the labels that the scaler reads.
func Labels() []label.Spec {
	return slices.Concat([]label.Spec{
		{
			Name: scaleMin, Task: "Scaling", Example: "scaleMin=2", Kind: "whole number, 0 or more", Default: "1", Strict: true, Indexed: true,
			Doc: "Minimum number of replicas that scaling may lead to. With this label or scaleMax a replicated service asks to be scaled. With 0 it may sleep, and is woken by a request. An empty one is a fault, since it bounds nothing. With an index it is in force while the window of scaleWhen with that index is open.",
		},
		{
			Name: scaleMax, Task: "Scaling", Example: "scaleMax=10", Kind: "whole number, 1 or more", Default: "5", Strict: true, Indexed: true,
			Doc: "Maximum number of replicas that scaling may lead to. An empty one is a fault. With an index, where it may be 0, as scaleMin.",
		},
		{
			Name: scaleUpBy, Task: "Scaling", Example: "scaleUpBy=2\nscaleMax=10", Kind: "whole number, 1 or more", Default: "1",
			Doc: "How many replicas one step up adds, unless the request brings a number of its own.",
		},
		{
			Name: scaleDownBy, Task: "Scaling", Example: "scaleDownBy=1\nscaleMax=10", Kind: "whole number, 1 or more", Default: "1",
			Doc: "How many replicas one step down takes away, unless the request brings a number of its own.",
		},
		{
			Name: scaleCooldownUp, Task: "Scaling", Example: "scaleCooldownUp=1m\nscaleMax=10", Kind: "seconds, or a time such as 1m30s", Default: "30",
			Doc: "Time that must have passed since the last scaling, in either direction, before a step up. It waits besides until the tasks of a step up run, and the range of the alert that asks (its annotation `settle`) has passed since. A number that somebody else sets counts as a scaling. A request by hand does not wait.",
		},
		{
			Name: scaleCooldownDown, Task: "Scaling", Example: "scaleCooldownDown=5m\nscaleMax=10", Kind: "seconds, or a time such as 1m30s", Default: "120",
			Doc: "Time that must have passed since the last scaling, in either direction, before a step down; otherwise as scaleCooldownUp.",
		},
		{
			Name: scaleStabilizeUp, Task: "Scaling", Example: "scaleStabilizeUp=30s\nscaleMax=10", Kind: "seconds, or a time such as 1m30s", Default: "0",
			Doc: "A step up goes no higher than the minimum that was wanted in this time, so that a short peak moves nothing. A request by hand does not wait for it.",
		},
		{
			Name: scaleStabilizeDown, Task: "Scaling", Example: "scaleStabilizeDown=10m\nscaleMax=10", Kind: "seconds, or a time such as 1m30s", Default: "5m with scaleMetric, else 0",
			Doc: "A step down goes no lower than the maximum that was wanted in this time. A request by hand does not wait for it.",
		},
		{
			Name: scaleUpMost, Task: "Scaling", Example: "scaleUpMost=4/1m\nscaleMax=10", Kind: "NUMBER/TIME, such as 4/1m", Default: "no limit",
			Doc: "How many replicas may be added within any such time. A request by hand is not limited, but what it adds counts.",
		},
		{
			Name: scaleDownMost, Task: "Scaling", Example: "scaleDownMost=2/5m\nscaleMax=10", Kind: "NUMBER/TIME, such as 2/5m", Default: "no limit",
			Doc: "How many replicas may be taken away within any such time; otherwise as scaleUpMost.",
		},
		{
			Name: scaleFallback, Task: "Scaling", Example: "scaleFallback=4\nscaleMetric=@requests\nscaleTarget=100\nscaleMax=10", Kind: "whole number, 0 or more", Default: "none: the number is held",
			Doc: "What is wanted at least when the metric has been missing for a minute; it never lowers. Needs scaleMetric.",
		},
		{
			Name: scaleWhen, Task: "Scaling", Example: "scaleWhen.1=Mon-Fri 07:30-19:00 Europe/Berlin\nscaleMin.1=4\nscaleMax=10", Kind: "[DAYS] HH:MM-HH:MM [ZONE], such as Mon-Fri 07:30-19:00 Europe/Berlin", Default: "no windows", Indexed: true,
			Doc: "When scaleMin and scaleMax of the same index are in force instead of those without; of several open windows the greatest of each. Days are a list of days and ranges (`Sat,Sun`, `Fri-Mon`), absent: every day; the zone is a name of the IANA database, absent: UTC. A window that ends before it begins goes over midnight and belongs to the day on which it opens. A service with windows is kept within the bounds in force.",
		},
		{
			Name: scaleWake, Task: "Scaling", Example: "scaleWake=2\nscaleMin=0", Kind: "whole number, 1 or more", Default: "1",
			Doc: "How many replicas a sleeping service (scaleMin 0, number 0) gets when a request waits for it, at once and within scaleMax.",
		},
		{
			Name: scaleRestore, Task: "Scaling", Example: "scaleRestore=after\nscaleMax=10", Kind: "now, after or off", Default: "after if the deploy changed the tasks and failure_action is rollback, else now",
			Doc: "When the number that was live comes back after a deploy brought the one of its file: at once, also during a rollout; when the rollout is over; never.",
		},
		{
			Name: scale, Task: "Scaling", Example: "scale=dry-run\nscaleMax=10", Kind: "on, off or dry-run", Default: "on",
			Doc: "With `off` the scaler leaves the service alone; only a request by hand with `force=true` changes it. With `dry-run` it decides and tells, and changes nothing.",
		},
	}, scaling.Labels())
}
