package bus_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"

	"github.com/wagglehq/waggle/pkg/bus"
	"github.com/wagglehq/waggle/pkg/bustest"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/tooltest"
)

// foreign connects as docs/contract.md tells clients in other languages to, with nothing of this package.
func foreign(t *testing.T, url, secret string) jetstream.JetStream {
	t.Helper()
	raw := sha256.Sum256([]byte("reader\x00" + secret))
	pair, err := nkeys.FromRawSeed(nkeys.PrefixByteUser, raw[:])
	if err != nil {
		t.Fatal(err)
	}
	user, errUser := pair.PublicKey()
	seed, errSeed := hkdf.Key(sha256.New, []byte(secret), nil, "waggle tls reader", ed25519.SeedSize)
	if err := errors.Join(errUser, errSeed); err != nil {
		t.Fatal(err)
	}
	want, ok := ed25519.NewKeyFromSeed(seed).Public().(ed25519.PublicKey)
	if !ok {
		t.Fatal("no key")
	}
	hash := sha256.Sum256(want)
	conn, err := nats.Connect(url, nats.Nkey(user, pair.Sign), nats.CustomInboxPrefix("_INBOX_reader"), nats.TLSHandshakeFirst(), nats.Secure(&tls.Config{
		MinVersion: tls.VersionTLS13, ServerName: hex.EncodeToString(hash[:8]) + ".reader.waggle",
		InsecureSkipVerify: true, // nothing but the key counts
		VerifyConnection: func(s tls.ConnectionState) error {
			if got, ok := s.PeerCertificates[0].PublicKey.(ed25519.PublicKey); !ok || !bytes.Equal(got, want) {
				return errors.New("a stranger")
			}
			return nil
		},
	}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	js, err := jetstream.NewWithAPIPrefix(conn, "WAGGLE.API")
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// TestAClientInAnotherLanguage reads statuses, learns what is gone by the header that the page
// names, and what is going to vanish without a word.
func TestAClientInAnotherLanguage(t *testing.T) {
	server := bustest.StartWithKeys(t, allKeys)
	server.Prepared()
	proxy := server.Connect("proxy")
	statuses := proxy.Statuses("one", func() {})
	bustest.Run(t, statuses.Run)
	say := func(all ...catalog.Status) {
		tooltest.Eventually(t, "the status is published", func() error { return statuses.Publish(t.Context(), all) })
	}
	say(catalog.Status{ServiceID: "1", Service: "shop_web", State: catalog.StateApplied})
	reader, err := foreign(t, server.URL(), allKeys["reader"]).CreateConsumer(t.Context(), "KV_"+bus.StatusBucket, jetstream.ConsumerConfig{
		Name: rand.Text(), DeliverPolicy: jetstream.DeliverLastPerSubjectPolicy, FilterSubject: "$KV." + bus.StatusBucket + ".>",
		AckPolicy: jetstream.AckNonePolicy, InactiveThreshold: time.Minute,
	})
	if err != nil {
		t.Fatal(err)
	}
	next := func(key string) jetstream.Msg {
		t.Helper()
		m, err := reader.Next(jetstream.FetchMaxWait(tooltest.Patience))
		if err != nil || m.Subject() != "$KV."+bus.StatusBucket+"."+key {
			t.Fatalf("%v, %v", m, err)
		}
		return m
	}
	if m := next("proxy.one.1"); !strings.Contains(string(m.Data()), `"state":"applied"`) || m.Headers().Get("Nats-TTL") != "" {
		t.Errorf("%s, %v", m.Data(), m.Headers())
	}
	say()
	if m := next("proxy.one.1"); m.Headers().Get("KV-Operation") == "" {
		t.Errorf("what is gone says %v", m.Headers())
	}
	tooltest.Eventually(t, "the instance is published", func() error { return proxy.Announce(t.Context(), catalog.Instance{Instance: "one"}) })
	if m := next("instance.proxy.one"); m.Headers().Get("Nats-TTL") == "" {
		t.Errorf("what vanishes says %v", m.Headers())
	}
}
