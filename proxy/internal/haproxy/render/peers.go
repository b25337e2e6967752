package render

import (
	"path"

	"github.com/wagglehq/waggle/proxy/internal/haproxy/file"
)

// peersName is the section that hands the counts of clients on from a worker to the next:
// HAProxy teaches them at a reload through a peer that is itself.
const peersName = "waggle"

// Peers are the lines of that, for the global section and after it. HAProxy teaches
// nothing if they were not there when its master started, so that they are part of
// every configuration, whether anything is counted or not.
func Peers(statsSocket string) (global, section string) {
	l, s := peersOf(statsSocket)
	return l.String(), s.Text()
}

func peersOf(statsSocket string) (global file.Line, section *file.Section) {
	socket := file.Q(file.Socket + path.Join(path.Dir(statsSocket), "peers.sock"))
	return lineOf("localpeer", peersName),
		file.NewSection("", "peers", peersName, "", file.New(append(bare("peer", peersName), socket)...))
}
