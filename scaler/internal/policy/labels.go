package policy

import "github.com/wagglehq/waggle/pkg/label"

// The labels of the scaler, without prefix.
const (
	scaleMin           = "scaleMin"
	scaleMax           = "scaleMax"
	scaleUpBy          = "scaleUpBy"
	scaleDownBy        = "scaleDownBy"
	scaleCooldownUp    = "scaleCooldownUp"
	scaleCooldownDown  = "scaleCooldownDown"
	scale              = "scale"
	scaleStabilizeUp   = "scaleStabilizeUp"
	scaleStabilizeDown = "scaleStabilizeDown"
	scaleUpMost        = "scaleUpMost"
	scaleDownMost      = "scaleDownMost"
)

// The words of scale.
const (
	on     = "on"
	off    = "off"
	dryRun = "dry-run"
)

// Labels describes the labels that the scaler reads.
func Labels() []label.Spec {
	return []label.Spec{
		{
			Name: scaleMin, Kind: "whole number, 0 or more", Default: "1", Strict: true,
			Doc: "Least number of replicas that a scaling may lead to. With this label or scaleMax a replicated service asks to be scaled. An empty one is a fault, since it bounds nothing.",
		},
		{
			Name: scaleMax, Kind: "whole number, 1 or more", Default: "5", Strict: true,
			Doc: "Greatest number of replicas that a scaling may lead to. An empty one is a fault.",
		},
		{
			Name: scaleUpBy, Kind: "whole number, 1 or more", Default: "1",
			Doc: "How many replicas one step up adds, unless the request brings a number of its own.",
		},
		{
			Name: scaleDownBy, Kind: "whole number, 1 or more", Default: "1",
			Doc: "How many replicas one step down takes away, unless the request brings a number of its own.",
		},
		{
			Name: scaleCooldownUp, Kind: "seconds, or a time such as 1m30s", Default: "30",
			Doc: "Time that must have passed since the last scaling, in either direction, before a step up. It waits besides until the tasks of a step up run, and the range of the alert that asks (its annotation `settle`) has passed since. A number that somebody else sets counts as a scaling. A request by hand does not wait.",
		},
		{
			Name: scaleCooldownDown, Kind: "seconds, or a time such as 1m30s", Default: "120",
			Doc: "Time that must have passed since the last scaling, in either direction, before a step down; otherwise as scaleCooldownUp.",
		},
		{
			Name: scaleStabilizeUp, Kind: "seconds, or a time such as 1m30s", Default: "0",
			Doc: "A step up goes no higher than the least number that was wanted in this time, so that a short peak moves nothing. A request by hand does not wait for it.",
		},
		{
			Name: scaleStabilizeDown, Kind: "seconds, or a time such as 1m30s", Default: "0",
			Doc: "A step down goes no lower than the greatest number that was wanted in this time. A request by hand does not wait for it.",
		},
		{
			Name: scaleUpMost, Kind: "NUMBER/TIME, such as 4/1m", Default: "no limit",
			Doc: "How many replicas may be added within any such time. A request by hand is not limited, but what it adds counts.",
		},
		{
			Name: scaleDownMost, Kind: "NUMBER/TIME, such as 2/5m", Default: "no limit",
			Doc: "How many replicas may be taken away within any such time; otherwise as scaleUpMost.",
		},
		{
			Name: scale, Kind: "on, off or dry-run", Default: "on",
			Doc: "With `off` the scaler leaves the service alone; only a request by hand with `force=true` changes it. With `dry-run` it decides and tells, and changes nothing.",
		},
	}
}
