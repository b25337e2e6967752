package render

import "strings"

// withSmallBuffers has HAProxy 3.4 keep the copy of a request that may have to be sent
// again in a buffer of the size of most requests. The copy of a whole buffer, which older
// ones make, is a fifth of what a request costs.
func withSmallBuffers(text string) string {
	const head = "defaults " + Defaults + "\n"
	return strings.Replace(text, head, head+".if version_atleast(3.4)\n  option use-small-buffers l7-retries\n.endif\n", 1)
}
