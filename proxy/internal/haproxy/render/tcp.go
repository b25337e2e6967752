package render

import "time"

// clientSilence is how long a client may leave unacknowledged what it was sent: as long as
// Linux waits by default. It is said because the container's own limit is for tasks, which
// are near (net.ipv4.tcp_retries2 in the stack file), and clients are not.
const clientSilence = 15 * time.Minute

// How TCP asks tasks that have taken a request and say nothing: after aliveIdle without a
// packet every aliveInterval, and aliveCount questions without an answer end the
// connection. The kernel of a node answers however long the task itself takes, and a node
// that has died is found out in five seconds, about when DNS drops its tasks. A request
// that may be sent again is then sent to another task, while one whose connection we
// ended ourselves would fail.
const (
	aliveIdle     = 3 * time.Second
	aliveInterval = time.Second
	aliveCount    = int64(2)
)
