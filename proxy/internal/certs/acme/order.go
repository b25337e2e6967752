package acme

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/mholt/acmez/v3/acme"

	"github.com/wagglehq/waggle/proxy/internal/certs"
	"github.com/wagglehq/waggle/proxy/internal/certs/vault"
	"github.com/wagglehq/waggle/proxy/internal/wish/names"
)

// DNS answers an authority's question by a record. Present returns when the record can be seen,
// or has been waited for long enough.
type DNS interface {
	Present(ctx context.Context, host, token, answer string) error
	CleanUp(ctx context.Context, host, token, answer string) error
}

// page is the record of one name, as whoever works on it knows it.
type page struct {
	Record
	vault *vault.Vault
	stamp uint64
}

// The times of what is written down.
const (
	// writeFor is how long a bus that does not answer is tried, and writeAgain how often.
	writeFor   = 30 * time.Second
	writeAgain = 200 * time.Millisecond
)

// read reads the record anew.
func (p *page) read(ctx context.Context) error {
	text, stamp, err := p.vault.Read(ctx, namePrefix+p.Host)
	if err != nil {
		return err
	}
	record, err := parseRecord(p.Host, text)
	p.Record, p.stamp = record, stamp
	return err
}

// write writes the record down. The error is vault.ErrConflict if somebody else has written it
// since it was read: then he is at it, and whoever gets the error ends.
func (p *page) write(ctx context.Context) error {
	text, err := json.Marshal(p.Record)
	if err != nil {
		return err
	}
	return patiently(ctx, func() (err error) {
		stamp, err := p.vault.Write(ctx, namePrefix+p.Host, string(text), p.stamp)
		if err == nil {
			p.stamp = stamp
		}
		return err
	})
}

// patiently tries for a while what fails because the bus does not answer.
func patiently(ctx context.Context, try func() error) error {
	ctx, cancel := context.WithTimeout(ctx, writeFor)
	defer cancel()
	for {
		err := try()
		if !errors.Is(err, vault.ErrNotReady) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(writeAgain):
		}
	}
}

// work is one attempt to obtain a certificate.
type work struct {
	r       *Runner
	name    names.Name
	page    *page
	account *account
}

// step tells tests how far an attempt is.
func (w *work) step(name string) {
	if w.r.o.Step != nil {
		w.r.o.Step(w.name.Host, name)
	}
}

// errNothingToDo says that somebody else has done it.
var errNothingToDo = errors.New("nothing is due any more")

// obtain takes an order from where it is to its end.
func (w *work) obtain(ctx context.Context) error {
	p := w.page
	if err := p.read(ctx); err != nil {
		return err
	}
	if now := w.r.o.Now(); dueAt(p.Record, w.name, w.r.o.Settings, now).After(now) {
		return errNothingToDo
	}
	all := w.r.o.Settings.authorities(w.name.Staging)
	authority := all[min(p.With, len(all)-1)]
	var err error
	if w.account, err = w.r.accounts.open(ctx, authority, w.name.Email); err != nil {
		return err
	}
	w.step("account")
	order, err := w.order(ctx, authority)
	if err != nil {
		return err
	}
	w.step("ordered")
	if order, err = w.prove(ctx, order); err != nil {
		return err
	}
	w.step("proven")
	if order, err = w.finalize(ctx, order); err != nil {
		return err
	}
	w.step("finalized")
	chain, err := w.download(ctx, order)
	if err != nil {
		return err
	}
	w.step("downloaded")
	if err := p.keep(chain, p.Order.Key, authority.Directory, w.r.o.Now()); err != nil {
		return &oddError{fmt.Errorf("the certificate is of no use: %w", err)}
	}
	if err := p.write(ctx); err != nil {
		return err
	}
	w.step("kept")
	return nil
}

// mostAge is how old an order may be that is gone on with. Authorities keep them for a week.
const mostAge = 6 * 24 * time.Hour

// order returns the order that has begun, or begins one.
func (w *work) order(ctx context.Context, authority Authority) (acme.Order, error) {
	p := w.page
	if o := p.Order; o != nil && o.URL != "" && o.Authority == authority.Directory && w.r.o.Now().Sub(o.Begun) < mostAge {
		order, err := w.account.client.GetOrder(ctx, w.account.Account, acme.Order{Location: o.URL})
		switch {
		case err == nil && order.Status != acme.StatusInvalid:
			return order, nil
		case err != nil && kindOf(err) == kindAway:
			return order, err
		}
		w.r.o.Log.Info("an order is of no use any more", "host", p.Host, "order", o.URL, "status", order.Status, "error", err)
		p.Order = nil
	}
	if p.Order == nil || p.Order.URL != "" || p.Order.Authority != authority.Directory {
		key, err := newKey(w.r.o.Settings.KeyType)
		if err != nil {
			return acme.Order{}, err
		}
		p.Order = &Order{Authority: authority.Directory, Begun: w.r.o.Now().UTC(), Key: key}
	}
	p.Order.Begun = w.r.o.Now().UTC()
	if err := w.r.count(ctx); err != nil {
		return acme.Order{}, err
	}
	// From here on nobody else who knows less than this can begin one.
	if err := p.write(ctx); err != nil {
		return acme.Order{}, err
	}
	w.step("key")
	want := acme.Order{Identifiers: []acme.Identifier{{Type: "dns", Value: p.Host}}}
	if old := p.leaf(); old != nil && p.Authority == authority.Directory {
		if id, err := acme.ARIUniqueIdentifier(old); err == nil && w.account.hasRenewalInfo(ctx) {
			want.Replaces = id
		}
	}
	order, err := w.place(ctx, want)
	if err != nil {
		return order, err
	}
	w.r.metrics.orders.Inc()
	p.Order.URL = order.Location
	return order, p.write(ctx)
}

// place asks the authority for an order. Once it is asked without saying which certificate is
// replaced, if it does not want to hear that, and once after the account was made known to it again,
// if it has forgotten that.
func (w *work) place(ctx context.Context, want acme.Order) (acme.Order, error) {
	order, err := w.account.client.NewOrder(ctx, w.account.Account, want)
	isNew := false
	for range 2 {
		var problem acme.Problem
		switch {
		case !errors.As(err, &problem):
			return order, err
		case problem.Type == acme.ProblemTypeAccountDoesNotExist && !isNew:
			if w.account, err = w.r.accounts.again(ctx, w.account); err != nil {
				return order, err
			}
			isNew = true
		case want.Replaces != "" && problem.Type != acme.ProblemTypeRateLimited:
			want.Replaces = ""
		default:
			return order, err
		}
		order, err = w.account.client.NewOrder(ctx, w.account.Account, want)
	}
	return order, err
}

// prove answers what the authority asks, until it believes that the host is ours.
func (w *work) prove(ctx context.Context, order acme.Order) (acme.Order, error) {
	if order.Status != acme.StatusPending {
		return order, nil
	}
	for _, url := range order.Authorizations {
		authz, err := w.account.client.GetAuthorization(ctx, w.account.Account, url)
		if err != nil {
			return order, err
		}
		if authz.Status == acme.StatusValid {
			continue
		}
		if err := w.answer(ctx, authz); err != nil {
			return order, err
		}
	}
	return w.account.client.GetOrder(ctx, w.account.Account, order)
}

// answer answers one question.
func (w *work) answer(ctx context.Context, authz acme.Authorization) error {
	kind := acme.ChallengeTypeHTTP01
	if w.name.DNS {
		kind = acme.ChallengeTypeDNS01
	}
	at := slices.IndexFunc(authz.Challenges, func(c acme.Challenge) bool { return c.Type == kind })
	if at < 0 {
		return &oddError{fmt.Errorf("the authority does not ask by %s", kind)}
	}
	if asked := authz.Identifier.Value; !strings.EqualFold(asked, strings.TrimPrefix(w.page.Host, "*.")) {
		return &oddError{fmt.Errorf("the authority asks for %q", asked)}
	}
	challenge := authz.Challenges[at]
	done, err := w.present(ctx, challenge)
	if err != nil {
		return err
	}
	// Whatever ends the attempt, a record in DNS is taken away again.
	defer done()
	w.step("presented")
	if challenge.Status == acme.StatusPending {
		if _, err := w.account.client.InitiateChallenge(ctx, w.account.Account, challenge); err != nil {
			return err
		}
	}
	w.step("asked")
	authz, err = w.account.client.PollAuthorization(ctx, w.account.Account, authz)
	return slow(err, authz.Status)
}

// slow makes an error one that says so, if the authority is still at it.
func slow(err error, status string) error {
	if err != nil && (status == acme.StatusPending || status == acme.StatusProcessing) && kindOf(err) == kindOdd {
		return &slowError{err}
	}
	return err
}

// cleanUpFor bounds how long a record in DNS may take to go.
const cleanUpFor = 30 * time.Second

// present makes an answer to be had, and returns what takes it away again.
func (w *work) present(ctx context.Context, c acme.Challenge) (done func(), err error) {
	if !w.name.DNS {
		w.page.Order.Token, w.page.Order.Answer = c.Token, c.KeyAuthorization
		if err := w.page.write(ctx); err != nil {
			return nil, err
		}
		w.r.poke()
		return func() {}, w.r.ready(ctx, c.Token)
	}
	host := c.Identifier.Value
	if err := w.r.o.DNS.Present(ctx, host, c.Token, c.KeyAuthorization); err != nil {
		return nil, &dnsError{err}
	}
	return func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanUpFor)
		defer cancel()
		if err := w.r.o.DNS.CleanUp(ctx, host, c.Token, c.KeyAuthorization); err != nil {
			w.r.o.Log.Warn("a record in DNS could not be taken away", "host", host, "error", err)
		}
	}, nil
}

// finalize asks for the certificate, unless that was done, and waits for it.
func (w *work) finalize(ctx context.Context, order acme.Order) (acme.Order, error) {
	switch order.Status {
	case acme.StatusValid:
		return order, nil
	case acme.StatusInvalid:
		if order.Error != nil {
			return order, *order.Error
		}
		return order, &oddError{errors.New("the authority has given the order up")}
	}
	key, err := parseKey(w.page.Order.Key)
	if err != nil {
		return order, err
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{DNSNames: []string{w.page.Host}}, key)
	if err != nil {
		return order, err
	}
	location := order.Location
	order, err = w.account.client.FinalizeOrder(ctx, w.account.Account, order, csr)
	if order.Location == "" {
		order.Location = location
	}
	if kindOf(err) == "orderNotReady" {
		// Another one has asked already; what has become of it the order says.
		return w.settled(ctx, order)
	}
	return order, slow(err, order.Status)
}

// settleFor is how long a certificate that was asked for before is waited for.
const settleFor, settleEvery = time.Minute, 500 * time.Millisecond

// settled waits for an order that is being worked on.
func (w *work) settled(ctx context.Context, order acme.Order) (acme.Order, error) {
	ctx, cancel := context.WithTimeout(ctx, settleFor)
	defer cancel()
	for {
		order, err := w.account.client.GetOrder(ctx, w.account.Account, order)
		switch {
		case err != nil:
			return order, err
		case order.Status == acme.StatusValid:
			return order, nil
		case order.Status == acme.StatusInvalid && order.Error != nil:
			return order, *order.Error
		case order.Status != acme.StatusProcessing:
			return order, &oddError{fmt.Errorf("the order is %s", order.Status)}
		}
		select {
		case <-ctx.Done():
			return order, ctx.Err()
		case <-time.After(settleEvery):
		}
	}
}

// download fetches the chain, of several the preferred one.
func (w *work) download(ctx context.Context, order acme.Order) (string, error) {
	chains, err := w.account.client.GetCertificateChain(ctx, w.account.Account, order.Certificate)
	if err != nil {
		return "", err
	}
	if len(chains) == 0 {
		return "", &oddError{errors.New("the authority gave no certificate")}
	}
	chain := string(chains[0].ChainPEM)
	if want := w.r.o.Settings.PreferredChain; want != "" {
		for _, c := range chains {
			if endsAt(c.ChainPEM, want) {
				chain = string(c.ChainPEM)
				break
			}
		}
	}
	c, err := certs.Parse([]byte(chain + "\n" + w.page.Order.Key))
	if err != nil {
		return "", &oddError{fmt.Errorf("the certificate is of no use: %w", err)}
	}
	// In the place of one that is good it would leave the host without any.
	if err := c.Expired(w.r.o.Now()); err != nil || c.NotBefore.After(c.NotAfter) {
		return "", &oddError{fmt.Errorf("the certificate is of no use: it is good from %s until %s", c.NotBefore.Format(time.RFC3339), c.NotAfter.Format(time.RFC3339))}
	}
	if !slices.ContainsFunc(c.Names, func(n string) bool { return strings.EqualFold(n, w.page.Host) }) {
		return "", &oddError{fmt.Errorf("the certificate is for %s", strings.Join(c.Names, ", "))}
	}
	return chain, nil
}
