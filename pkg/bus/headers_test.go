package bus_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/wagglehq/waggle/pkg/bus"
	"github.com/wagglehq/waggle/pkg/bustest"
	"github.com/wagglehq/waggle/pkg/tooltest"
)

// misleading are headers that a component which has gone bad may give to what it writes: they look
// like those by which a server says what a message is, or that there is none.
func misleading() map[string]nats.Header {
	return map[string]nats.Header{
		"that there is no more":       {"Status": {"404"}, "Description": {"Message Not Found"}},
		"that the answer ends":        {"Status": {"204"}, "Description": {"EOB"}, "Nats-Num-Pending": {"0"}},
		"that something went wrong":   {"Status": {"500"}, "Description": {"no"}},
		"that the server still lives": {"Status": {"100"}, "Description": {"Idle Heartbeat"}},
		"that it is another's":        {"Nats-Subject": {"waggle.audit.scaler"}, "Nats-Sequence": {"1"}, "Nats-Time-Stamp": {"never"}},
	}
}

// TestMisleadingHeadersOfAnEntry: what a component says in headers hides no entry of the audit, and
// none is taken for another component's.
func TestMisleadingHeadersOfAnEntry(t *testing.T) {
	for what, header := range misleading() {
		t.Run(what, func(t *testing.T) {
			s := bustest.StartWithKeys(t, allKeys)
			listener := s.Prepared()
			nc := s.Connect("proxy").Raw()
			tooltest.Eventually(t, "the connection stands", func() error { return nc.FlushTimeout(time.Second) })
			for i := range 5 {
				m := &nats.Msg{Subject: "waggle.audit.proxy", Data: []byte(fmt.Sprint("entry ", i))}
				if i == 2 {
					m.Header = header
				}
				_, err := nc.RequestMsg(m, time.Minute)
				tooltest.Must(t, err)
			}
			for name, read := range map[string]func() ([]bus.Message, error){
				"all":          func() ([]bus.Message, error) { return listener.Last(t.Context(), bus.AuditStream, 100) },
				"of the proxy": func() ([]bus.Message, error) { return listener.LastOf(t.Context(), bus.AuditStream, "proxy", 100) },
			} {
				all, err := read()
				if err != nil {
					t.Errorf("%s: %v", name, err)
					continue
				}
				told := map[string]bool{}
				for _, m := range all {
					told[string(m.Value)] = true
					if m.Subject != "waggle.audit.proxy" || m.Time.IsZero() {
						t.Errorf("%s: %q of %s at %s", name, m.Value, m.Subject, m.Time)
					}
				}
				for _, i := range []int{0, 1, 3, 4} {
					if !told[fmt.Sprint("entry ", i)] {
						t.Errorf("%s: entry %d is not told", name, i)
					}
				}
			}
		})
	}
}

// TestHeadersThatNobodyCanRead: a writer that speaks to the server itself writes headers that are none.
// His own entry is lost to readers, and no other one is, wherever it stands.
func TestHeadersThatNobodyCanRead(t *testing.T) {
	for what, order := range map[string]string{"first": "x..", "in the middle": ".x.", "last": "..x", "nothing else": "xx"} {
		t.Run(what, func(t *testing.T) {
			s := bustest.Start(t)
			b := s.Prepared()
			conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", strings.TrimPrefix(s.URL(), "nats://"))
			tooltest.Must(t, err)
			defer func() { _ = conn.Close() }()
			text := "CONNECT {\"headers\":true,\"verbose\":false}\r\n"
			for _, kind := range order {
				header := "NATS/1.0\r\nno header\r\n\r\n"
				if kind == '.' {
					header = "NATS/1.0\r\nA: b\r\n\r\n"
				}
				text += fmt.Sprintf("HPUB waggle.audit.proxy %d %d\r\n%s{}\r\n", len(header), len(header)+2, header)
			}
			_, err = io.WriteString(conn, text+"PING\r\n")
			tooltest.Must(t, err)
			tooltest.Must(t, b.Publish(t.Context(), bus.AuditStream, "scaler", []byte("{}")))
			want := strings.Count(order, ".") + 1
			tooltest.Eventually(t, "all that can be read is told", func() error {
				all, err := b.Last(t.Context(), bus.AuditStream, 100)
				if err == nil && len(all) != want {
					err = fmt.Errorf("%d entries, want %d", len(all), want)
				}
				return err
			})
			// And it is told to whoever asks for few.
			tooltest.Eventually(t, "the newest is told", func() error {
				all, err := b.LastOf(t.Context(), bus.AuditStream, "scaler", 1)
				if err == nil && len(all) != 1 {
					err = fmt.Errorf("%d entries, want 1", len(all))
				}
				return err
			})
		})
	}
}

// TestMisleadingHeadersInABucket: the same, among the keys of a bucket that others read.
func TestMisleadingHeadersInABucket(t *testing.T) {
	for what, header := range misleading() {
		t.Run(what, func(t *testing.T) {
			s := bustest.StartWithKeys(t, allKeys)
			listener, proxy, monitor := s.Prepared(), s.Connect("proxy"), s.Connect("monitor")
			tooltest.Eventually(t, "the proxy can write", func() error {
				_, err := proxy.Bucket(bus.StatusBucket).Put(t.Context(), "proxy.before", []byte("{}"))
				return err
			})
			_, err := proxy.Raw().RequestMsg(&nats.Msg{Subject: "$KV.waggle_status.proxy.bad", Header: header}, time.Minute)
			tooltest.Must(t, err)
			tooltest.Eventually(t, "the monitor can write", func() error {
				_, err := monitor.Bucket(bus.StatusBucket).Put(t.Context(), "monitor.after", []byte("{}"))
				return err
			})
			m := listener.Bucket(bus.StatusBucket).Mirror(">", func() {})
			bustest.Run(t, m.Run)
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			for {
				values, whole := m.Values()
				if _, ok := values["monitor.after"]; ok && whole {
					return
				}
				select {
				case <-ctx.Done():
					t.Fatal(errors.New("what the monitor says is not read"))
				case <-time.After(20 * time.Millisecond):
				}
			}
		})
	}
}
