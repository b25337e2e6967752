package policy

import "github.com/wagglehq/waggle/pkg/label"

// The labels of the scaler, without prefix.
const (
	scaleMin          = "scaleMin"
	scaleMax          = "scaleMax"
	scaleUpBy         = "scaleUpBy"
	scaleDownBy       = "scaleDownBy"
	scaleCooldownUp   = "scaleCooldownUp"
	scaleCooldownDown = "scaleCooldownDown"
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
			Doc: "Time that must have passed since the last scaling, in either direction, before a step up.",
		},
		{
			Name: scaleCooldownDown, Kind: "seconds, or a time such as 1m30s", Default: "120",
			Doc: "Time that must have passed since the last scaling, in either direction, before a step down.",
		},
	}
}
