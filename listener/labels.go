package listener

import "github.com/wagglehq/waggle/pkg/label"

// Labels describes the labels that hold for all components, and those that no
// other component describes.
func Labels() []label.Spec {
	return []label.Spec{
		{Name: "notify", Task: "Opting in and names", Example: "notify=true", Kind: "true or false", Default: "false",
			Doc: "With true the service opts in: without it, nothing else counts. Set to false or removed, everything that was made from the labels goes away."},
		{Name: "shortName", Task: "Opting in and names", Example: "shortName=true", Kind: "true or false", Default: "false",
			Doc: "With true the service is called without the stack's name before it in jobs, alerts and routes. It is always looked up by its full name."},
		{Name: "distribute", Task: "Opting in and names", Example: "distribute=true", Kind: "true or false", Default: "true",
			Doc: "Read for compatibility: every replica of the proxy sees every service anyway."},
		{Name: "reschedule", Task: "Scaling", Example: "reschedule=true", Kind: "true or false", Default: "false",
			Doc: "With true the scaler spreads the tasks of a replicated service evenly over the nodes after a node has joined, and on `POST /v1/reschedule-services`: one more, and when it runs one less, until nodes differ by one at most. It needs no bounds for that; with some it stays within them."},
	}
}
