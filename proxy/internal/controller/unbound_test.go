package controller

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wagglehq/waggle/proxy/internal/haproxy/apply"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/file"
)

// stubborn is an engine that takes every configuration in a check, and does not start with one
// in which a word stands. says is what it says then.
type stubborn struct {
	engine
	word, says string
	reloads    int
}

func (e *stubborn) Apply(ctx context.Context, f file.File) (apply.Result, error) {
	if e.reloads++; e.word != "" && strings.Contains(f.Text(), e.word) {
		return apply.Result{}, errors.Join(&apply.ReloadError{Output: e.says, Err: errors.New("not taken up")})
	}
	return e.engine.Apply(ctx, f)
}

// occupied is a port on which somebody listens, until release.
func occupied(t *testing.T) (port string, release func()) {
	t.Helper()
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port), func() { _ = l.Close() }
}

// TestAPortThatCannotBeHad: the service that asks for it is left out by name, whether HAProxy
// names the port or not, and the others go live in the same pass.
func TestAPortThatCannotBeHad(t *testing.T) {
	port, _ := occupied(t)
	named := fmt.Sprintf("[ALERT] (1) : Binding [/x/haproxy.cfg:9] for frontend tcp_%[1]s: protocol tcpv4: cannot bind socket (Address already in use) for [0.0.0.0:%[1]s].", port)
	for _, c := range []struct {
		name, word, says string
		want             string
	}{
		{"HAProxy names the port", "bind :" + port, named, "rejected crook"},
		{"HAProxy says nothing of use", "bind :" + port, "[ALERT] (1) : [haproxy.main()] Some protocols failed to start their listeners! Exiting.", "rejected crook"},
		{"it is nobody's port", "defaults", "out of memory", "error"},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := &stubborn{word: c.word, says: c.says}
			s := newStage(t, func(_ *stage, o *Options) { o.HAProxy.Engine, o.HAProxy.Checker = e, e })
			s.deploy("web", "servicePath", "/", "port", "80")
			s.deploy("first", "reqMode", "tcp", "srcPort", "20001", "port", "80")
			s.deploy("crook", "reqMode", "tcp", "srcPort", port, "port", "80")
			s.deploy("last", "reqMode", "tcp", "srcPort", "20002", "port", "80")
			err := s.Pass(t.Context())
			got := "rejected"
			for _, v := range s.settling.desired.Verdicts {
				if v.Err != nil {
					got += " " + v.Service.Name
				}
			}
			if err != nil {
				got = "error"
			}
			if got != c.want {
				t.Errorf("%s, want %s (%v)", got, c.want, err)
			}
			if e.reloads > 12 {
				t.Errorf("HAProxy was asked %d times to start", e.reloads)
			}
			if c.says == named && !strings.Contains(s.became(), "com.df.srcPort="+port) {
				t.Errorf("the reason names no label: %s", s.became())
			}
		})
	}
}

// TestWhatWasAcceptedCanLoseItsPort: the labels last accepted ask for the same port, so that
// they are not kept.
func TestWhatWasAcceptedCanLoseItsPort(t *testing.T) {
	port, _ := occupied(t)
	e := &stubborn{}
	s := newStage(t, func(_ *stage, o *Options) { o.HAProxy.Engine, o.HAProxy.Checker = e, e })
	s.deploy("web", "servicePath", "/", "port", "80")
	s.deploy("crook", "reqMode", "tcp", "srcPort", port, "port", "80")
	if err := s.Pass(t.Context()); err != nil {
		t.Fatal(err)
	}
	e.word, e.says = "bind :"+port, "Binding [x:1] for proxy tcp_"+port+": cannot bind socket (Permission denied)"
	s.deploy("crook", "reqMode", "tcp", "srcPort", port, "port", "81")
	if err := s.Pass(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := s.became(); !strings.Contains(got, "crook rejected") || strings.Contains(got, "stay in force") || !strings.Contains(got, "web applied") {
		t.Error(got)
	}
}

// TestAPortThatIsFreeAgain is had again, after it was looked whether it is.
func TestAPortThatIsFreeAgain(t *testing.T) {
	port, release := occupied(t)
	synctest.Test(t, func(t *testing.T) {
		e := &stubborn{word: "bind :" + port, says: "for proxy tcp_" + port + ": cannot bind socket"}
		s := newStage(t, func(_ *stage, o *Options) { o.HAProxy.Engine, o.HAProxy.Checker = e, e })
		s.deploy("crook", "reqMode", "tcp", "srcPort", port, "port", "80")
		pass := func(want string) {
			t.Helper()
			if err := s.Pass(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := s.became(); !strings.HasPrefix(got, want) {
				t.Errorf("%s, want %s", got, want)
			}
		}
		pass("crook rejected")
		if !slices.Contains(s.again, portAgain) {
			t.Errorf("passes are asked for after %v", s.again)
		}
		time.Sleep(portAgain)
		e.reloads = 0
		pass("crook rejected")
		if e.reloads > 1 {
			t.Errorf("HAProxy was asked %d times to start while somebody has the port", e.reloads)
		}
		release()
		e.word = ""
		time.Sleep(portAgain)
		pass("crook ")
		if got := s.became(); strings.Contains(got, "rejected") {
			t.Error(got)
		}
	})
}
