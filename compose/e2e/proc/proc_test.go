package proc

import (
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"

	"github.com/wagglehq/waggle/pkg/tooltest"
)

// A child of ours is found by all the ways that there are, and counted.
func TestAChildIsOfTheFamily(t *testing.T) {
	const word = "a word that no other command line holds"
	child := exec.CommandContext(t.Context(), "sh", "-c", `echo; while :; do :; done # `+word)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = child.Process.Kill(), child.Wait() })
	if _, err := out.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	family, err := Family(os.Getpid())
	i := slices.IndexFunc(family, func(p Process) bool { return p.PID == child.Process.Pid })
	if err != nil || family[0].PID != os.Getpid() || i < 1 {
		t.Fatalf("the family is %+v (%v)", family, err)
	}
	if p := family[i]; p.Parent != os.Getpid() || p.Name != "sh" || p.Args[0] != "sh" || p.Args[1] != "-c" {
		t.Errorf("the child is %+v", p)
	}
	const d = 200 * time.Millisecond
	var shares []float64
	busy, err := Busy(func() error {
		var err error
		shares, err = Idle(t.Context(), d,
			func() (time.Duration, error) { return Used(os.Getpid(), word) },
			func() (time.Duration, error) { return Used(os.Getpid(), word+" indeed") })
		return err
	})
	if err != nil || busy <= 0 || len(shares) != 2 || shares[0] <= 0 || shares[1] != 0 {
		t.Errorf("the machine is busy by %d %%, the child by %v (%v)", busy, shares, err)
	}
	all, err := Memory(os.Getpid())
	one, errOne := Memory(child.Process.Pid)
	if err != nil || errOne != nil || one == 0 || one >= all {
		t.Errorf("the child holds %d of %d bytes (%v, %v)", one, all, err, errOne)
	}
	if _, err := Family(1 << 30); err == nil {
		t.Error("a process that is not there has a family")
	}
}

// Where somebody listens is told, and where somebody has only connected is not.
func TestListening(t *testing.T) {
	var want []netip.AddrPort
	for _, host := range []string{"127.0.0.1", "::1"} {
		l := tooltest.Listen(t, net.JoinHostPort(host, "0"))
		want = append(want, l.Addr().(*net.TCPAddr).AddrPort())
	}
	var d net.Dialer
	conn, err := d.DialContext(t.Context(), "tcp", want[0].String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	got, err := Listening(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range want {
		if !slices.Contains(got, w) {
			t.Errorf("%v is missing in %v", w, got)
		}
	}
	if own := conn.LocalAddr().(*net.TCPAddr).AddrPort(); slices.Contains(got, own) {
		t.Errorf("nobody listens at %v", own)
	}
}
