package settings

import "fmt"

// Connections returns the number of connections to ask HAProxy for, 0 to let it follow
// the limit of open files, and a warning if the operator wanted more than that limit
// allows. HAProxy does not start if it cannot have two files for each connection, and
// some besides for ports, sockets and health checks.
func Connections(want int, files uint64) (maxConn int, warning string) {
	if want <= 0 {
		return 0, ""
	}
	need := 2*uint64(want) + max(files/16, 64)
	if need > files {
		return 0, fmt.Sprintf("maxconn %d needs about %d open files, and %d are the limit: HAProxy takes as many connections as that allows", want, need, files)
	}
	return want, ""
}
