package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wagglehq/waggle/pkg/bus"
	"github.com/wagglehq/waggle/pkg/bustest"
	"github.com/wagglehq/waggle/pkg/certtest"
	"github.com/wagglehq/waggle/pkg/tooltest"
	"github.com/wagglehq/waggle/proxy/internal/certs"
	"github.com/wagglehq/waggle/proxy/internal/certs/sealed"
	"github.com/wagglehq/waggle/proxy/internal/certs/store"
)

// place is where one replica looks.
type place struct {
	t       *testing.T
	dir     string
	store   *store.Store
	mirror  *bus.Mirror
	epoch   atomic.Value
	changed int
	now     func() time.Time
}

// replica is a store with folders of its own, on the bus if there is one.
func replica(t *testing.T, b *bus.Bus, secret string) *place {
	t.Helper()
	return restarted(t, t.TempDir(), b, secret)
}

// restarted is a store that finds what an earlier one left in the folder.
func restarted(t *testing.T, dir string, b *bus.Bus, secret string, others ...string) *place {
	t.Helper()
	p := &place{t: t, dir: dir, now: time.Now}
	p.epoch.Store("")
	key, err := sealed.New("test", secret, others...)
	if err != nil {
		t.Fatal(err)
	}
	p.mirror = b.Bucket(bus.ManualBucket).Mirror(store.Prefix+">", func() {})
	p.store = store.New(store.Options{
		CertsDir: filepath.Join(dir, "certs"), SecretsDir: filepath.Join(dir, "secrets"), Copy: filepath.Join(dir, "uploads.json"),
		Uploads: p.mirror, Key: key, Now: func() time.Time { return p.now() }, Changed: func() { p.changed++ }, Log: slog.New(slog.DiscardHandler),
		Epoch: func() (string, bool) {
			e, _ := p.epoch.Load().(string)
			return e, e != ""
		},
	})
	return p
}

// connect follows the bus, whose store has that epoch.
func (p *place) connect(epoch string) *place {
	p.t.Helper()
	bustest.Run(p.t, p.mirror.Run)
	tooltest.Eventually(p.t, "the bus is read", func() error {
		if !p.mirror.Synced() {
			return errors.New("not yet")
		}
		return nil
	})
	p.epoch.Store(epoch)
	return p
}

func (p *place) write(path, text string) {
	p.t.Helper()
	path = filepath.Join(p.dir, path)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o600)); err != nil {
		p.t.Fatal(err)
	}
}

// look looks and tells what was found as "source name host".
func (p *place) look() string {
	p.t.Helper()
	if err := p.store.Look(p.t.Context()); err != nil {
		p.t.Error(err)
	}
	return tell(p.store.Candidates())
}

func tell(list []certs.Candidate) string {
	var out []string
	for _, c := range list {
		text := fmt.Sprintf("%s %s %s", c.Source, c.Name, strings.Join(c.Names, ","))
		if c.Err != nil {
			text += "not: " + c.Err.Error()
		}
		if c.Problem != nil {
			text += " but: " + c.Problem.Error()
		}
		out = append(out, text)
	}
	return strings.Join(out, "\n")
}

func (p *place) want(what, want string) {
	p.t.Helper()
	tooltest.Eventually(p.t, what, func() error {
		if got := p.look(); got != want {
			return fmt.Errorf("%s: got\n%s\nwant\n%s", what, got, want)
		}
		return nil
	})
}

func TestFilesAndSecrets(t *testing.T) {
	p := replica(t, bustest.Start(t).Prepared(), "s")
	p.want("no folders", "")
	p.write("certs/a.pem", certtest.Self(t, "a.com").PEM())
	p.write("certs/.hidden", "x")
	p.write("certs/folder/x.pem", certtest.Self(t, "x.com").PEM())
	p.write("certs/readme", "hello")
	p.write("secrets/CERT_b", certtest.Self(t, "b.com").PEM())
	p.write("secrets/cert-c.com", certtest.Self(t, "c.com").PEM())
	p.write("secrets/dfp_stats_pass", "secret")
	want := "file a.pem a.com\nfile readme not: it is not PEM: want a certificate, its chain and its key, each between BEGIN and END\n" +
		"secret CERT_b b.com\nsecret cert-c.com c.com"
	p.want("everything", want)
	before := p.changed
	p.want("nothing new", want)
	if p.changed != before {
		t.Error("it says that something changed when nothing did")
	}
	if err := os.Remove(filepath.Join(p.dir, "certs/readme")); err != nil {
		t.Fatal(err)
	}
	renewed := certtest.Self(t, "a.com", "www.a.com").PEM()
	p.write("certs/a.pem", renewed[:100])
	p.write("secrets/CERT_b", "")
	p.want("files that are bad for now", "file a.pem a.com but: it is not PEM: want a certificate, its chain and its key, each between BEGIN and END\n"+
		"secret CERT_b b.com but: it is not PEM: want a certificate, its chain and its key, each between BEGIN and END\nsecret cert-c.com c.com")
	p.write("certs/a.pem", renewed)
	if err := os.Remove(filepath.Join(p.dir, "secrets/CERT_b")); err != nil {
		t.Fatal(err)
	}
	p.want("a renewal, and a removal", "file a.pem a.com,www.a.com\nsecret cert-c.com c.com")
}

func TestUploadsReachEveryReplica(t *testing.T) {
	server := bustest.Start(t)
	b := server.Prepared()
	one, two := replica(t, b, "s").connect("e1"), replica(t, b, "s").connect("e1")
	one.want("none yet", "")
	pem := certtest.Self(t, "a.com").PEM()
	if err := one.store.Put(t.Context(), "a.com.pem", pem); err != nil {
		t.Fatal(err)
	}
	one.want("at the one that took it", "upload a.com.pem a.com")
	two.want("at the other", "upload a.com.pem a.com")
	// Whoever reads the bus reads no key, and nobody else reads the copy.
	value, ok := one.mirror.Value(store.Prefix + bus.Token("a.com.pem"))
	if !ok || bytes.Contains(value.Data, []byte("PRIVATE")) || bytes.Contains(value.Data, []byte("a.com")) {
		t.Errorf("on the bus: %t, %q", ok, value.Data)
	}
	if info, err := os.Stat(filepath.Join(two.dir, "uploads.json")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the copy: %v, %v", info, err)
	}
	// It survives a start without a bus.
	alone := restarted(t, two.dir, b, "s")
	alone.want("without a bus", "upload a.com.pem a.com")
	if err := alone.store.Put(t.Context(), "b", pem); !errors.Is(err, store.ErrNotReady) {
		t.Errorf("an upload without a bus: %v", err)
	}
	if err := alone.store.Delete(t.Context(), "a.com.pem"); !errors.Is(err, store.ErrNotReady) {
		t.Errorf("a removal without a bus: %v", err)
	}
	// A removal reaches one that was away.
	if err := one.store.Delete(t.Context(), "nope"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a removal of nothing: %v", err)
	}
	if err := one.store.Delete(t.Context(), "a.com.pem"); err != nil {
		t.Fatal(err)
	}
	one.want("removed", "")
	alone.connect("e1").want("removed while it was away", "")
}

func TestABusThatLostItsStoreGetsTheUploadsAgain(t *testing.T) {
	first := bustest.Start(t).Prepared()
	p := replica(t, first, "s").connect("e1")
	if err := p.store.Put(t.Context(), "a", certtest.Self(t, "a.com").PEM()); err != nil {
		t.Fatal(err)
	}
	p.want("uploaded", "upload a a.com")
	second := bustest.Start(t).Prepared()
	again := restarted(t, p.dir, second, "s").connect("e2")
	again.want("on a new store", "upload a a.com")
	other := replica(t, second, "s").connect("e2")
	other.want("at another replica", "upload a a.com")
}

func TestAnotherSecretOpensNothing(t *testing.T) {
	b := bustest.Start(t).Prepared()
	one := replica(t, b, "s").connect("e1")
	if err := one.store.Put(t.Context(), "a", certtest.Self(t, "a.com").PEM()); err != nil {
		t.Fatal(err)
	}
	one.want("uploaded", "upload a a.com")
	stranger := replica(t, b, "other").connect("e1")
	stranger.want("without a copy", "upload a not: the upload on the bus cannot be opened: it was sealed by another secret, or changed since")
	changed := restarted(t, one.dir, b, "other").connect("e1")
	changed.want("with a copy", "upload a a.com but: the upload on the bus cannot be opened: it was sealed by another secret, or changed since")
	// An upload with the new secret puts it right.
	if err := changed.store.Put(t.Context(), "a", certtest.Self(t, "a.com").PEM()); err != nil {
		t.Fatal(err)
	}
	changed.want("uploaded again", "upload a a.com")
	stranger.want("at the other", "upload a a.com")
}

func TestWithoutASecretNothingIsUploaded(t *testing.T) {
	b := bustest.Start(t).Prepared()
	s := store.New(store.Options{
		Uploads: b.Bucket(bus.ManualBucket).Mirror(store.Prefix+">", func() {}), Epoch: func() (string, bool) { return "", false },
		Changed: func() {}, Copy: filepath.Join(t.TempDir(), "uploads.json"), Log: slog.New(slog.DiscardHandler),
	})
	if err := s.Put(context.Background(), "a", "x"); !errors.Is(err, store.ErrNoKey) {
		t.Errorf("got %v", err)
	}
	if err := s.Look(t.Context()); err != nil || len(s.Candidates()) > 0 {
		t.Errorf("got %v, %v", s.Candidates(), err)
	}
}
