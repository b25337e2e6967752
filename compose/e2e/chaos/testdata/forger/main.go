// Command forger is a NATS server that admits everybody, whatever key they have, and has a
// catalog of its own: one service, which is answered at /forged, and which is all
// that there is. It speaks TLS, with a certificate that it made itself, to whoever asks for it.
package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/wagglehq/waggle/pkg/bus"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/certtest"
)

// service is what the forger is called in the swarm.
const service = "forger"

// everybody is admitted.
type everybody struct{}

func (everybody) Check(server.ClientAuthentication) bool { return true }

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "forger:", err)
		os.Exit(1)
	}
}

func run() error {
	issued, err := certtest.New(certtest.Options{}, "waggle_listener") // the name under which it is found
	if err != nil {
		return err
	}
	certificate, err := tls.X509KeyPair([]byte(issued.Cert), []byte(issued.Key))
	if err != nil {
		return err
	}
	s, err := server.NewServer(&server.Options{
		Host: "0.0.0.0", Port: 4222, JetStream: true, StoreDir: "/store", NoSigs: true,
		CustomClientAuthentication: everybody{}, AlwaysEnableNonce: true,
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}, AllowNonTLS: true,
	})
	if err != nil {
		return err
	}
	s.ConfigureLogger()
	s.Start()
	if !s.ReadyForConnections(10 * time.Second) {
		return fmt.Errorf("the server does not start")
	}
	nc, err := nats.Connect("", nats.InProcessServer(s))
	if err != nil {
		return err
	}
	if err := forge(context.Background(), nc); err != nil {
		return err
	}
	fmt.Println("forger: the catalog is forged")
	return http.ListenAndServe(":8080", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, "hello from forger at", r.URL.Path)
	}))
}

// forge writes a catalog that agrees with itself.
func forge(ctx context.Context, nc *nats.Conn) error {
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	for _, name := range []string{
		bus.CatalogBucket, bus.SecretsBucket, bus.LeaseBucket, bus.AcceptedBucket, bus.StatusBucket, bus.SignalsBucket, bus.WakesBucket, bus.ManualBucket,
	} {
		if _, err := js.CreateOrUpdateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: name, History: 1, LimitMarkerTTL: time.Hour}); err != nil {
			return err
		}
	}
	bucket, err := js.KeyValue(ctx, bus.CatalogBucket)
	if err != nil {
		return err
	}
	entries := catalog.Entries{}
	put := func(key string, v any) {
		value, err := catalog.Encode(v)
		if err != nil {
			panic(err)
		}
		entries[key] = value
	}
	put(catalog.ServiceKey("forged"), catalog.Service{
		ID: "forged", Name: service, Mode: catalog.Replicated, Replicas: 1, Networks: []string{"waggle"}, EndpointMode: "dnsrr", CreatedAt: time.Unix(1, 0).UTC(),
		Labels: map[string]string{catalog.Notify: "true", "com.df.servicePath": "/forged", "com.df.port": "8080"},
	})
	list, err := listOf(entries)
	if err != nil {
		return err
	}
	list.Schema, list.Epoch, list.Cluster, list.Writer, list.Time = catalog.Schema, "forged", os.Getenv("CLUSTER"), "forger", time.Now().UTC()
	put(catalog.ListKey, list)
	for key, value := range entries {
		if _, err := bucket.Put(ctx, key, value); err != nil {
			return err
		}
	}
	return nil
}
