package render

import (
	"testing"

	"github.com/wagglehq/waggle/proxy/internal/settings/edge"
)

// TestHashIsTheSameEverywhere: where a replica listens and keeps its files is its own
// matter, everything else is not.
func TestHashIsTheSameEverywhere(t *testing.T) {
	const services = "web servicePath=/\nweb port=80\nweb allowedAddresses=10.0.0.1\nweb forwardAuth=http://auth/\n"
	hash := func(change func(*Settings), text string) string {
		s := settings("/x")
		change(&s)
		file, rejected := render(t, s, text)
		if len(rejected) > 0 {
			t.Fatal(rejected)
		}
		return file.Hash()
	}
	same := hash(func(*Settings) {}, services)
	if got := hash(func(s *Settings) {
		s.Dir, s.StatsSocket, s.Binds = "/var/lib/other/haproxy", "/run/other.sock", []edge.Bind{{Port: 8000}}
	}, services); got != same {
		t.Error("another place gives another hash")
	}
	if hash(func(s *Settings) { s.ConnectionMode = "httpclose" }, services) == same {
		t.Error("another setting gives the same hash")
	}
	if hash(func(*Settings) {}, services+"web servicePath=/a\n") == same {
		t.Error("other labels give the same hash")
	}
}
