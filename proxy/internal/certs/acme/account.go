package acme

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/mholt/acmez/v3/acme"

	"github.com/wagglehq/waggle/proxy/internal/certs/vault"
)

// account is one at an authority, and the way to it.
type account struct {
	acme.Account
	client    *acme.Client
	authority Authority
	email     string
}

// hasRenewalInfo reports whether the authority knows what it means that one certificate replaces
// another.
func (a *account) hasRenewalInfo(ctx context.Context) bool {
	dir, err := a.client.GetDirectory(ctx)
	return err == nil && dir.RenewalInfo != ""
}

// accountRecord is what is kept of an account.
type accountRecord struct {
	Authority string `json:"authority"`
	Email     string `json:"email,omitempty"`
	// Key is PEM; Location is empty until the authority has said that the account is there.
	Key      string `json:"key"`
	Location string `json:"location,omitempty"`
}

// accounts are all that were opened.
type accounts struct {
	vault    *vault.Vault
	settings Settings
	log      *slog.Logger

	// mu keeps two orders from opening the same account twice.
	mu      sync.Mutex
	clients map[string]*acme.Client
	opened  map[string]*account
}

// The limits of asking an authority.
const (
	pollEvery  = 250 * time.Millisecond
	pollFor    = 90 * time.Second
	askTimeout = 30 * time.Second
)

func newAccounts(o Options) *accounts {
	return &accounts{vault: o.Vault, settings: o.Settings, log: o.Log, clients: map[string]*acme.Client{}, opened: map[string]*account{}}
}

// client is the way to an authority. It is kept, because it keeps what the authority gives it for
// the next request.
func (a *accounts) client(directory string) *acme.Client {
	c := a.clients[directory]
	if c == nil {
		c = &acme.Client{
			Directory: directory, UserAgent: "waggle-proxy", PollInterval: pollEvery, PollTimeout: pollFor, Logger: quiet(a.log),
			HTTPClient: &http.Client{Timeout: askTimeout, Transport: &http.Transport{
				Proxy:           http.ProxyFromEnvironment,
				DialContext:     (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
				TLSClientConfig: &tls.Config{RootCAs: a.settings.Roots, MinVersion: tls.VersionTLS12}, TLSHandshakeTimeout: 10 * time.Second,
				ResponseHeaderTimeout: askTimeout, ForceAttemptHTTP2: true, IdleConnTimeout: time.Minute,
			}},
		}
		a.clients[directory] = c
	}
	return c
}

// open returns the account at an authority, and makes it if there is none yet.
func (a *accounts) open(ctx context.Context, authority Authority, email string) (*account, error) {
	if email == "" {
		email = a.settings.Email
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	name := accountName(authority, email)
	if known := a.opened[name]; known != nil {
		return known, nil
	}
	text, stamp, err := a.vault.Read(ctx, name)
	if err != nil {
		return nil, err
	}
	var record accountRecord
	if text != "" && json.Unmarshal([]byte(text), &record) != nil {
		return nil, errors.New("what is known of the account cannot be read")
	}
	return a.register(ctx, authority, email, record, stamp)
}

// register makes an account, unless it is there. Its key is written down first, so that an account
// whose making was interrupted is found again: an authority has one for each key.
func (a *accounts) register(ctx context.Context, authority Authority, email string, record accountRecord, stamp uint64) (*account, error) {
	name := accountName(authority, email)
	write := func() error {
		text, err := json.Marshal(record)
		if err != nil {
			return err
		}
		stamp, err = a.vault.Write(ctx, name, string(text), stamp)
		return err
	}
	if record.Key == "" {
		key, err := newKey(EC256)
		if err != nil {
			return nil, err
		}
		record = accountRecord{Authority: authority.Directory, Email: email, Key: key}
		if err := patiently(ctx, write); err != nil {
			return nil, err
		}
	}
	key, err := parseKey(record.Key)
	if err != nil {
		return nil, err
	}
	out := &account{client: a.client(authority.Directory), authority: authority, email: email}
	out.Account = acme.Account{PrivateKey: key, Location: record.Location, Status: acme.StatusValid}
	if record.Location == "" {
		want := acme.Account{PrivateKey: key, TermsOfServiceAgreed: true}
		if email != "" {
			want.Contact = []string{"mailto:" + email}
		}
		if authority.KeyID != "" {
			if err := want.SetExternalAccountBinding(ctx, out.client, acme.EAB{KeyID: authority.KeyID, MACKey: authority.MACKey}); err != nil {
				return nil, fmt.Errorf("external account binding: %w", err)
			}
		}
		if out.Account, err = out.client.NewAccount(ctx, want); err != nil {
			return nil, fmt.Errorf("account: %w", err)
		}
		record.Location = out.Location
		if err := patiently(ctx, write); err != nil {
			return nil, err
		}
		a.log.Info("an account at an authority", "authority", authority.Name, "account", out.Location)
	}
	a.opened[name] = out
	return out, nil
}

// replace makes a new account in the place of one that the authority has forgotten.
func (a *accounts) replace(ctx context.Context, old *account) (*account, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	name := accountName(old.authority, old.email)
	if known := a.opened[name]; known != nil && known != old {
		return known, nil // another order was quicker
	}
	delete(a.opened, name)
	_, stamp, err := a.vault.Read(ctx, name)
	if err != nil {
		return nil, err
	}
	a.log.Warn("the authority does not know the account any more", "authority", old.authority.Name, "account", old.Location)
	return a.register(ctx, old.authority, old.email, accountRecord{}, stamp)
}

// forget makes each account be read anew, since another replica may have changed them.
func (a *accounts) forget() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.opened = map[string]*account{}
}

// accountName is the name in the vault of the account of an e-mail address at an authority.
func accountName(authority Authority, email string) string {
	sum := sha256.Sum256([]byte(authority.Directory + "\x00" + email + "\x00" + authority.KeyID))
	return accountPrefix + hex.EncodeToString(sum[:8])
}

// quiet is a log for what the library has to say, which is for whoever looks for a fault.
func quiet(log *slog.Logger) *slog.Logger { return slog.New(lowered{log.Handler()}) }

// lowered makes every line one of the level for debugging.
type lowered struct{ slog.Handler }

// Enabled is for the slog package.
func (l lowered) Enabled(ctx context.Context, _ slog.Level) bool {
	return l.Handler.Enabled(ctx, slog.LevelDebug)
}

// Handle is for the slog package.
func (l lowered) Handle(ctx context.Context, r slog.Record) error {
	r.Level = slog.LevelDebug
	return l.Handler.Handle(ctx, r)
}

// WithAttrs is for the slog package.
func (l lowered) WithAttrs(attrs []slog.Attr) slog.Handler {
	return lowered{l.Handler.WithAttrs(attrs)}
}

// WithGroup is for the slog package.
func (l lowered) WithGroup(name string) slog.Handler { return lowered{l.Handler.WithGroup(name)} }
