package dns_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/wagglehq/waggle/pkg/tooltest"
	"github.com/wagglehq/waggle/proxy/acmetest"
	"github.com/wagglehq/waggle/proxy/internal/certs/acme"
	prover "github.com/wagglehq/waggle/proxy/internal/certs/acme/dns"
)

// rfc2136 is a Prover for a name server.
func rfc2136(t *testing.T, z *acmetest.Zone) acme.DNS {
	t.Helper()
	z.Use(t)
	p, err := prover.New("rfc2136", z.Addr)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestARecordIsMadeAndTakenAway by signed updates, also where the challenge's name is a CNAME into
// another zone.
func TestARecordIsMadeAndTakenAway(t *testing.T) {
	s := acmetest.StartZone(t)
	s.Lead("_acme-challenge.away.example.com.", "away.acme.example.net.")
	p := rfc2136(t, s)
	for host, name := range map[string]string{"example.com": "_acme-challenge.example.com.", "away.example.com": "away.acme.example.net."} {
		others := len(s.At(name))
		if err := p.Present(t.Context(), host, "token", "token.thumbprint"); err != nil {
			t.Fatal(err)
		}
		if got := s.At(name); len(got) == 0 || got[len(got)-1] == "" {
			t.Errorf("%s has %q", name, got)
		}
		if err := p.CleanUp(t.Context(), host, "token", "token.thumbprint"); err != nil {
			t.Fatal(err)
		}
		if got := s.At(name); len(got) > others {
			t.Errorf("%s has %q left", name, got)
		}
	}
	if s.Unsigned() > 0 {
		t.Errorf("%d updates were not signed", s.Unsigned())
	}
}

// TestEachProvider says which of its variables is missing, and takes them from files.
func TestEachProvider(t *testing.T) {
	for name, variables := range map[string][]string{
		"acme-dns":     {"ACME_DNS_API_BASE=https://acme-dns.example.com", "ACME_DNS_STORAGE_PATH=" + filepath.Join(t.TempDir(), "accounts.json")},
		"cloudflare":   {"CLOUDFLARE_DNS_API_TOKEN=a-secret"},
		"digitalocean": {"DO_AUTH_TOKEN=a-secret"},
		"exec":         {"EXEC_PATH=/usr/local/bin/record"},
		"gandi":        {"GANDIV5_PERSONAL_ACCESS_TOKEN=a-secret"},
		"hetzner":      {"HETZNER_API_TOKEN=a-secret"},
		"http":         {"HTTPREQ_ENDPOINT=https://dns.example.com"},
		"ovh":          {"OVH_ENDPOINT=ovh-eu", "OVH_APPLICATION_KEY=a", "OVH_APPLICATION_SECRET=a-secret", "OVH_CONSUMER_KEY=b"},
		"rfc2136":      {"RFC2136_NAMESERVER=192.0.2.1"},
		"route53":      {"AWS_REGION=eu-central-1", "AWS_ACCESS_KEY_ID=a", "AWS_SECRET_ACCESS_KEY=a-secret"},
	} {
		t.Run(name, func(t *testing.T) {
			first, _, _ := strings.Cut(variables[0], "=")
			if _, err := prover.New(name, ""); name != "route53" && (err == nil || !strings.Contains(err.Error(), "acme-dns: "+name)) {
				t.Errorf("without %s: %v", first, err)
			}
			for _, v := range variables {
				variable, text, _ := strings.Cut(v, "=")
				if strings.Contains(text, "secret") {
					file := filepath.Join(t.TempDir(), variable)
					if err := os.WriteFile(file, []byte(text+"\n"), 0o600); err != nil {
						t.Fatal(err)
					}
					variable, text = variable+"_FILE", file
				}
				t.Setenv(variable, text)
			}
			if _, err := prover.New(name, ""); err != nil {
				t.Error(err)
			}
		})
	}
	all := map[string]bool{}
	for _, name := range acme.Providers() {
		all[name] = true
	}
	if len(all) != 10 {
		t.Errorf("%d providers", len(all))
	}
	if _, err := prover.New("nobody", ""); err == nil {
		t.Error("a provider that is not there is taken")
	}
	if p, err := prover.New("", ""); p != nil || err != nil {
		t.Error("without a name there is one")
	}
	if _, err := prover.New("rfc2136", "no port"); err == nil {
		t.Error("a name server without a port is taken")
	}
}

// TestAProgramOrAnAddressOfTheUsers is told the name and the text of the record.
func TestAProgramOrAnAddressOfTheUsers(t *testing.T) {
	s := acmetest.StartZone(t)
	record := filepath.Join(t.TempDir(), "record")
	log := record + ".log"
	if err := os.WriteFile(record, []byte("#!/bin/sh\necho \"$@\" >> "+log+"\n"), 0o700); err != nil { //nolint:gosec // it is a program.
		t.Fatal(err)
	}
	t.Setenv("EXEC_PATH", record)
	t.Setenv("EXEC_PROPAGATION_TIMEOUT", "1")
	p, err := prover.New("exec", s.Addr)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Present(t.Context(), "example.com", "token", "token.thumbprint"); err != nil {
		t.Fatal(err)
	}
	if err := p.CleanUp(t.Context(), "example.com", "token", "token.thumbprint"); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(log)
	if err != nil || !strings.Contains(string(got), "present _acme-challenge.example.com. ") || !strings.Contains(string(got), "cleanup _acme-challenge.example.com. ") {
		t.Errorf("%q, %v", got, err)
	}

	var asked sync.Map
	front := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		asked.Store(r.URL.Path, string(body))
	}))
	t.Cleanup(front.Close)
	t.Setenv("HTTPREQ_ENDPOINT", front.URL)
	t.Setenv("HTTPREQ_PROPAGATION_TIMEOUT", "1")
	if p, err = prover.New("http", s.Addr); err != nil {
		t.Fatal(err)
	}
	if err := p.Present(t.Context(), "example.com", "token", "token.thumbprint"); err != nil {
		t.Fatal(err)
	}
	body, _ := asked.Load("/present")
	var said struct{ FQDN, Value string }
	text, _ := body.(string)
	if err := json.Unmarshal([]byte(text), &said); err != nil || said.FQDN != "_acme-challenge.example.com." || said.Value == "" {
		t.Errorf("%q, %v", text, err)
	}
}

// TestCredentialsOfRoute53FromFiles are those by which its requests are signed.
func TestCredentialsOfRoute53FromFiles(t *testing.T) {
	var signed sync.Map
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		signed.Store("by", r.Header.Get("Authorization"))
		w.WriteHeader(http.StatusForbidden)
	}))
	t.Cleanup(api.Close)
	dir := t.TempDir()
	for name, text := range map[string]string{"AWS_ACCESS_KEY_ID": "the-key-of-a-file", "AWS_SECRET_ACCESS_KEY": "a-secret", "AWS_REGION": "eu-central-1"} {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		t.Setenv(name+"_FILE", file)
	}
	for name, text := range map[string]string{"AWS_ENDPOINT_URL": api.URL, "AWS_HOSTED_ZONE_ID": "Z1", "AWS_MAX_RETRIES": "1", "AWS_EC2_METADATA_DISABLED": "true"} {
		t.Setenv(name, text)
	}
	p, err := prover.New("route53", acmetest.StartZone(t).Addr)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Present(t.Context(), "example.com", "token", "token.thumbprint"); err == nil {
		t.Error("it was refused, and nothing is said")
	}
	by, _ := signed.Load("by")
	if text, _ := by.(string); !strings.Contains(text, "the-key-of-a-file") || !strings.Contains(text, "eu-central-1") {
		t.Errorf("signed by %q", text)
	}
}

// TestAProgramThatHangs, and leaves another one behind that does, is given up with the attempt.
func TestAProgramThatHangs(t *testing.T) {
	dir := t.TempDir()
	pipe, program := filepath.Join(dir, "pipe"), filepath.Join(dir, "record")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(program, []byte("#!/bin/sh\necho begun >"+pipe+".begun\ncat "+pipe+" &\nwait\n"), 0o700); err != nil { //nolint:gosec // it is a program.
		t.Fatal(err)
	}
	t.Cleanup(func() { // what was left behind ends
		if end, err := os.OpenFile(pipe, os.O_RDWR, 0); err == nil {
			_ = end.Close()
		}
	})
	t.Setenv("EXEC_PATH", program)
	p, err := prover.New("exec", acmetest.StartZone(t).Addr)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- p.Present(ctx, "example.com", "token", "token.thumbprint") }()
	tooltest.Eventually(t, "it has begun", func() error {
		_, err := os.Stat(pipe + ".begun")
		return err
	})
	cancel()
	tooltest.Eventually(t, "it is given up", func() error {
		select {
		case err := <-done:
			if err == nil {
				t.Error("it is told to have made the record")
			}
			return nil
		default:
			return errors.New("not yet")
		}
	})
}

// TestNoErrorShowsASecret, whatever a provider repeats of what it was told.
func TestNoErrorShowsASecret(t *testing.T) {
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, password, _ := r.BasicAuth()
		w.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(w, "I do not know "+name+" with the password "+password+", nor "+r.URL.RawQuery)
	}))
	t.Cleanup(api.Close)
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte("the-word-of-a-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("HTTPREQ_ENDPOINT", api.URL+"/?key=what-is-in-the-address")
	t.Setenv("HTTPREQ_USERNAME", "ops")
	t.Setenv("HTTPREQ_PASSWORD_FILE", file)
	p, err := prover.New("http", acmetest.StartZone(t).Addr)
	if err != nil {
		t.Fatal(err)
	}
	err = p.Present(t.Context(), "example.com", "token", "token.thumbprint")
	if err == nil {
		t.Fatal("it was refused, and nothing is said")
	}
	for _, secret := range []string{"the-word-of-a-file", "what-is-in-the-address"} {
		if strings.Contains(err.Error(), secret) {
			t.Errorf("%q shows %q", err, secret)
		}
	}
	if !strings.Contains(err.Error(), "403") || !strings.Contains(err.Error(), "ops") {
		t.Errorf("%q does not say what was wrong", err)
	}
}
