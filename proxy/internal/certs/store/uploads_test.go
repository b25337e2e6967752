package store_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/wagglehq/waggle/pkg/bus"
	"github.com/wagglehq/waggle/pkg/bustest"
	"github.com/wagglehq/waggle/pkg/certtest"
	"github.com/wagglehq/waggle/pkg/tooltest"
	"github.com/wagglehq/waggle/proxy/internal/certs/sealed"
	"github.com/wagglehq/waggle/proxy/internal/certs/store"
)

const putBack = "the upload on the bus is older than the last one of its name, or was removed: somebody has put it back. Upload it again if that is meant"

// put uploads a certificate for a host, after all that this replica has seen.
func (p *place) put(name, host string) {
	p.t.Helper()
	if err := p.store.Put(p.t.Context(), name, certtest.Self(p.t, host).PEM()); err != nil {
		p.t.Fatal(err)
	}
}

// sealed is what lies on the bus.
func (p *place) sealed(name string) []byte {
	p.t.Helper()
	v, ok := p.mirror.Value(store.Prefix + bus.Token(name))
	if !ok {
		p.t.Fatalf("%s is not on the bus", name)
	}
	return v.Data
}

// forge writes to the bus what somebody does who may write there and has no secret.
func forge(t *testing.T, b *bus.Bus, name string, value []byte) {
	t.Helper()
	if _, err := b.Bucket(bus.ManualBucket).Put(t.Context(), store.Prefix+bus.Token(name), value); err != nil {
		t.Fatal(err)
	}
}

// TestAnOldUploadThatIsPutBackIsRefused: a value that was sealed for this place by the right
// secret, but was replaced or removed since, changes nothing, and is told.
func TestAnOldUploadThatIsPutBackIsRefused(t *testing.T) {
	b := bustest.Start(t).Prepared()
	one, two := replica(t, b, "s").connect("e1"), replica(t, b, "s").connect("e1")
	one.put("a", "old.com")
	one.want("the first one", "upload a old.com")
	leaked := one.sealed("a")
	two.want("at another replica", "upload a old.com")
	two.put("a", "new.com")
	one.want("the second one", "upload a new.com")
	two.want("at the other", "upload a new.com")

	forge(t, b, "a", leaked)
	one.want("the first one is put back", "upload a new.com but: "+putBack)
	two.want("at the other, too", "upload a new.com but: "+putBack)
	restarted(t, one.dir, b, "s").connect("e1").want("after a restart", "upload a new.com but: "+putBack)
	// Whoever has no memory believes what he finds.
	replica(t, b, "s").connect("e1").want("a new replica", "upload a old.com")

	two.put("a", "newer.com")
	one.want("another upload ends it", "upload a newer.com")
	last := one.sealed("a")
	two.want("at both", "upload a newer.com")
	if err := two.store.Delete(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	one.want("removed", "")
	two.want("removed there", "")
	forge(t, b, "a", leaked)
	one.want("an older one than what was removed is put back", "upload a not: "+putBack)
	forge(t, b, "a", last)
	one.want("what was removed is put back", "upload a not: "+putBack)
	one.want("and looked at again", "upload a not: "+putBack)
	restarted(t, two.dir, b, "s").connect("e1").want("after a restart, there", "upload a not: "+putBack)
	one.put("a", "last.com")
	one.want("a new upload of the name", "upload a last.com")
	two.want("at the other replica", "upload a last.com")
}

// TestARestoredBackupLeavesCertificates: what was uploaded since the backup is put on the bus
// again, newer ones in the places of older ones, and nothing is refused for good.
func TestARestoredBackupLeavesCertificates(t *testing.T) {
	s := bustest.Start(t)
	b := s.Prepared()
	one, two := replica(t, b, "s").connect("e1"), replica(t, b, "s").connect("e1")
	one.put("changed", "old.com")
	one.put("gone", "gone.com")
	one.want("before the backup", "upload changed old.com\nupload gone gone.com")
	backup := s.Keep()
	tooltest.Eventually(t, "the bus is there again", func() error { return one.store.Put(t.Context(), "changed", certtest.Self(t, "new.com").PEM()) })
	one.put("later", "later.com")
	if err := one.store.Delete(t.Context(), "gone"); err != nil {
		t.Fatal(err)
	}
	two.want("since the backup", "upload changed new.com\nupload later later.com")
	one.want("at the other", "upload changed new.com\nupload later later.com")

	s.Rewind(backup)
	all := "upload changed new.com\nupload gone gone.com\nupload later later.com"
	one.want("the newest of each, and what the backup has again", all)
	two.want("at the other", all)
	replica(t, s.Connect("proxy"), "s").connect("e1").want("a new replica", all)
	two.put("later", "latest.com")
	one.want("uploads go on", "upload changed new.com\nupload gone gone.com\nupload later latest.com")
}

// TestABackupThatNobodySaw: a store that went back while no replica ran, so that nobody
// noticed. What is older is told and not taken, and an upload puts it right.
func TestABackupThatNobodySaw(t *testing.T) {
	s := bustest.Start(t)
	one := replica(t, s.Prepared(), "s").connect("e1")
	one.put("a", "old.com")
	one.want("before the backup", "upload a old.com")
	backup := s.Keep()
	tooltest.Eventually(t, "the bus is there again", func() error { return one.store.Put(t.Context(), "a", certtest.Self(t, "new.com").PEM()) })
	one.want("since the backup", "upload a new.com")
	s.Rewind(backup)
	b := s.Connect("proxy")
	again, fresh := restarted(t, one.dir, b, "s").connect("e1"), replica(t, b, "s").connect("e1")
	again.want("one that remembers", "upload a new.com but: "+putBack)
	fresh.want("one that does not", "upload a old.com")
	// Also from a replica that has seen nothing, and whose clock is right.
	fresh.put("a", "newest.com")
	again.want("an upload", "upload a newest.com")
}

// TestClocksThatDiffer: an upload is the newer one by what its replica has seen.
func TestClocksThatDiffer(t *testing.T) {
	b := bustest.Start(t).Prepared()
	ahead, behind := replica(t, b, "s").connect("e1"), replica(t, b, "s").connect("e1")
	ahead.now = func() time.Time { return time.Now().Add(time.Hour) }
	behind.now = func() time.Time { return time.Unix(-1, 0) }
	ahead.put("a", "one.com")
	ahead.want("by the one that is ahead", "upload a one.com")
	behind.want("at the other", "upload a one.com")
	behind.put("a", "two.com")
	ahead.want("by the one that is behind", "upload a two.com")
	ahead.put("a", "three.com")
	behind.want("and again", "upload a three.com")
}

// TestUploadsOfFormerVersions, which say nothing of their order, are taken, but not in the place
// of one that does.
func TestUploadsOfFormerVersions(t *testing.T) {
	b := bustest.Start(t).Prepared()
	key, err := sealed.New("test", "s")
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(map[string]string{"name": "a", "pem": certtest.Self(t, "old.com").PEM()})
	if err != nil {
		t.Fatal(err)
	}
	former := key.Seal(store.Prefix+bus.Token("a"), text)
	forge(t, b, "a", former)
	p := replica(t, b, "s").connect("e1")
	p.want("without a stamp", "upload a old.com")
	forge(t, b, "a", key.Seal(store.Prefix+bus.Token("a"), text))
	p.want("another one without", "upload a old.com")
	tooltest.Eventually(t, "the last of them has come", func() error { return p.store.Put(t.Context(), "a", certtest.Self(t, "new.com").PEM()) })
	p.want("with one", "upload a new.com")
	forge(t, b, "a", former)
	p.want("put back", "upload a new.com but: "+putBack)
	// A copy of a former version has no stamps.
	if err := os.WriteFile(filepath.Join(p.dir, "uploads.json"), []byte(`{"epoch":"e1","uploads":{}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	restarted(t, p.dir, b, "s").connect("e1").want("after a way back to such a version", "upload a old.com")
}

// TestTheSecretIsReplaced: with both, uploads are opened and sealed anew, and then the old one
// is not needed any more.
func TestTheSecretIsReplaced(t *testing.T) {
	b := bustest.Start(t).Prepared()
	old := replica(t, b, "old").connect("e1")
	old.put("a", "a.com")
	old.want("by the old one", "upload a a.com")
	before := string(old.sealed("a"))
	both := restarted(t, t.TempDir(), b, "new", "old").connect("e1")
	both.want("with both", "upload a a.com")
	tooltest.Eventually(t, "it is sealed anew", func() error {
		if string(both.sealed("a")) == before {
			return errors.New("not yet")
		}
		return nil
	})
	replica(t, b, "new").connect("e1").want("with the new one", "upload a a.com")
	old.want("one that has not heard of it", "upload a a.com but: the upload on the bus cannot be opened: it was sealed by another secret, or changed since")
	if at := string(both.sealed("a")); both.look() == "" || string(both.sealed("a")) != at {
		t.Error("it is sealed anew again and again")
	}
}
