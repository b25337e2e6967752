package acme

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
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
	pollFor  time.Duration
	// there are the names of all accounts, as far as they were seen.
	there atomic.Pointer[map[string]bool]

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
	return &accounts{vault: o.Vault, settings: o.Settings, log: o.Log, pollFor: cmp.Or(o.PollFor, pollFor), clients: map[string]*acme.Client{}, opened: map[string]*account{}}
}

// client is the way to an authority. It is kept, because it keeps what the authority gives it for
// the next request.
func (a *accounts) client(directory string) *acme.Client {
	c := a.clients[directory]
	if c == nil {
		c = &acme.Client{
			Directory: directory, UserAgent: "waggle-proxy", PollInterval: pollEvery, PollTimeout: a.pollFor, Logger: quiet(a.log),
			HTTPClient: &http.Client{Timeout: askTimeout, CheckRedirect: onlyByTLS, Transport: &transport{directory: directory, RoundTripper: &http.Transport{
				Proxy:           http.ProxyFromEnvironment,
				DialContext:     (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
				TLSClientConfig: &tls.Config{RootCAs: a.settings.Roots, MinVersion: tls.VersionTLS12}, TLSHandshakeTimeout: 10 * time.Second,
				ResponseHeaderTimeout: askTimeout, ForceAttemptHTTP2: true, IdleConnTimeout: time.Minute,
			}}},
		}
		a.clients[directory] = c
	}
	return c
}

// mostAccounts bounds how many accounts there are because of addresses that services name, since an
// authority bounds them too: ten in three hours for one address. Whoever comes later gets his
// certificate by the operator's account.
const mostAccounts = 10

// isFull reports whether there are as many accounts as there may be.
func (a *accounts) isFull() bool {
	all := map[string]bool{}
	if there := a.there.Load(); there != nil {
		maps.Copy(all, *there)
	}
	for name := range a.opened {
		all[name] = true
	}
	return len(all) >= mostAccounts
}

// see notes which accounts there are.
func (a *accounts) see(values map[string]string) {
	there := map[string]bool{}
	for name := range values {
		if strings.HasPrefix(name, accountPrefix) {
			there[name] = true
		}
	}
	a.there.Store(&there)
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
	record, stamp, err := a.read(ctx, name)
	if err != nil {
		return nil, err
	}
	if record.Key == "" && email != a.settings.Email && a.isFull() {
		email = a.settings.Email
		name = accountName(authority, email)
		if known := a.opened[name]; known != nil {
			return known, nil
		}
		if record, stamp, err = a.read(ctx, name); err != nil {
			return nil, err
		}
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

// again makes an account known again to an authority that says it has forgotten it. Its key stays: for
// one key an authority has one account, so that one which was mistaken has no second one.
func (a *accounts) again(ctx context.Context, old *account) (*account, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	name := accountName(old.authority, old.email)
	if known := a.opened[name]; known != nil && known != old {
		return known, nil // another order was quicker
	}
	delete(a.opened, name)
	record, stamp, err := a.read(ctx, name)
	if err != nil {
		return nil, err
	}
	a.log.Warn("the authority does not know the account any more", "authority", old.authority.Name, "account", old.Location)
	record.Location = ""
	return a.register(ctx, old.authority, old.email, record, stamp)
}

// read returns what is known of an account.
func (a *accounts) read(ctx context.Context, name string) (record accountRecord, stamp uint64, err error) {
	text, stamp, err := a.vault.Read(ctx, name)
	if err != nil {
		return record, 0, err
	}
	if text != "" && json.Unmarshal([]byte(text), &record) != nil {
		return record, 0, errors.New("what is known of the account cannot be read")
	}
	return record, stamp, nil
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
