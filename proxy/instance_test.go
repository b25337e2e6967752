package proxy

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"strconv"
	"testing"

	"github.com/wagglehq/waggle/pkg/app"
	"github.com/wagglehq/waggle/pkg/bus"
	"github.com/wagglehq/waggle/pkg/bustest"
	"github.com/wagglehq/waggle/pkg/catalog"
)

// TestTheSettingsByWhichLabelsAreJudgedArePublic: each is a setting, and no secret.
func TestTheSettingsByWhichLabelsAreJudgedArePublic(t *testing.T) {
	var (
		fs     = flag.NewFlagSet("proxy", flag.ContinueOnError)
		common app.Common
	)
	common.Flags(fs)
	new(Config).Flags(fs)
	if sh := (app.Shell{Settings: app.Settings(fs)}); len(sh.Chosen(judgedBy())) != len(judgedBy()) {
		t.Errorf("told are %v of %v", sh.Chosen(judgedBy()), judgedBy())
	}
}

// TestAnInstanceTellsOfItself: what it has applied, by which settings, and how many
// clients are connected.
func TestAnInstanceTellsOfItself(t *testing.T) {
	h := newHouse(t)
	h.config.Instance = "one"
	h.supervised()
	h.run()
	h.dns.set("web", "127.0.0.2")
	h.deploy("web", "/a")
	h.answers("/a", "127.0.0.2")
	for range 3 {
		var d net.Dialer
		c, err := d.DialContext(t.Context(), "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(h.http)))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		// Until it has been spoken on, HAProxy may not have taken it up.
		if _, err := fmt.Fprint(c, "GET /a HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
	}
	h.deploy("other", "/b")
	b := h.bus.Connect("proxy").Bucket(bus.StatusBucket)
	bustest.Eventually(t, "the instance tells of itself", func() error {
		text, _, err := b.Get(t.Context(), bus.InstanceKey("proxy", "one"))
		if err != nil {
			return err
		}
		var i catalog.Instance
		if err := json.Unmarshal(text, &i); err != nil {
			return err
		}
		if i.Component != "proxy" || i.Instance != "one" || i.Hash == "" || i.Revision.Epoch == "" || i.Settings["networks"] != "waggle" || i.Connections != 3 {
			return errors.New(string(text))
		}
		return nil
	})
}
