package acme

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mholt/acmez/v3/acme"

	"github.com/wagglehq/waggle/pkg/bus"
	"github.com/wagglehq/waggle/proxy/internal/certs"
	"github.com/wagglehq/waggle/proxy/internal/certs/vault"
	"github.com/wagglehq/waggle/proxy/internal/wish/names"
	"github.com/wagglehq/waggle/proxy/internal/wish/route"
)

// The keys in the bucket of what did not come by labels, where the proxies alone read and write.
const (
	// Prefix is what those of records begin with.
	Prefix = "proxy.acme.data."
	// LeaseKey says which replica orders.
	LeaseKey = "proxy.acme.lease"
	// readyPrefix is before the name of a replica that tells which questions it can answer.
	readyPrefix = "proxy.acme.ready."
)

// Options are what a Runner works with.
type Options struct {
	Bus      *bus.Bus
	Vault    *vault.Vault
	Settings Settings
	Rules    names.Rules
	// Instance is the name of this replica; Peers are those of the others that live.
	Instance string
	Peers    func() []string
	// LeaseTTL is how long the bus keeps the right to order for a replica that has gone.
	LeaseTTL time.Duration
	// View returns which services are in force, and which questions HAProxy answers by now;
	// false while that is not known.
	View func() (services []route.Service, tokens []string, ok bool)
	// DNS is nil if the operator has named no provider.
	DNS DNS
	// Changed is called when there are other certificates, or other questions to answer; Poke
	// asks for another pass, now or after a time.
	Changed func()
	Poke    interface {
		Now()
		After(time.Duration)
	}
	// Step, if it is not nil, is told how far each order is.
	Step func(host, step string)
	// PollFor is how long an authority may take to look at an answer, or to make a certificate,
	// until that counts as a failure; 90 s if 0.
	PollFor time.Duration
	Now     func() time.Time
	Log     *slog.Logger
	Metrics *Metrics
}

// Question is one that an authority asks, with its answer.
type Question struct{ Host, Token, Answer string }

// Known is what is known of all names at a moment. It is not changed any more.
type Known struct {
	// Certificates are all that there are, whether or not they are still wanted, and Questions
	// those that any replica answers.
	Certificates []certs.Candidate
	Questions    []Question
	// Troubles are what is wrong, by host.
	Troubles map[string]Trouble
}

// Runner obtains certificates. Pass belongs to its loop's goroutine.
type Runner struct {
	o        Options
	accounts *accounts
	metrics  *Metrics
	lease    *bus.Lease
	others   *bus.Mirror
	known    atomic.Pointer[Known]
	// due says that there is something to order, so that the lease is wanted.
	due atomic.Bool

	// foreign are certificates of another program's, by host.
	foreign map[string]foreign

	// texts and parsed are the records of the last pass; told is which answers this replica
	// has told that it can give.
	texts  map[string]string
	parsed map[string]Record
	told   string
	// store is that of the bus with which the last pass agreed, since when it is this one.
	store string
	since time.Time

	// mu guards busy, the hosts that are being worked on, each with what stops that; the goroutines
	// that work take themselves out.
	mu      sync.Mutex
	busy    map[string]context.CancelFunc
	working sync.WaitGroup
	// counting keeps those who begin orders from counting at once.
	counting sync.Mutex
}

// mostAtOnce is how many orders one replica works on at a time.
const mostAtOnce = 8

// New returns a Runner.
func New(o Options) *Runner {
	if o.Now == nil {
		o.Now = time.Now
	}
	r := &Runner{o: o, accounts: newAccounts(o), metrics: o.Metrics, busy: map[string]context.CancelFunc{}}
	bucket := o.Bus.Bucket(bus.ManualBucket)
	r.others = bucket.Mirror(readyPrefix+">", func() {})
	r.lease = o.Bus.Lease(bus.LeaseOptions{
		Bucket: bus.ManualBucket, Key: LeaseKey, Holder: o.Instance, TTL: o.LeaseTTL, Willing: r.due.Load,
		Changed: func(held bool) {
			if !held {
				r.stopAll()
			}
			r.poke()
		},
	})
	return r
}

// Follow reads the bus, and keeps the right to order while it is wanted, until the context ends.
func (r *Runner) Follow(ctx context.Context) error {
	var both sync.WaitGroup
	both.Go(func() { _ = r.others.Run(ctx) })
	both.Go(func() { _ = r.lease.Run(ctx) })
	both.Wait()
	return nil
}

// Known returns what is known, nil before the first pass. It may be called from any goroutine.
func (r *Runner) Known() *Known { return r.known.Load() }

func (r *Runner) poke() { r.o.Poke.Now() }

// Close waits until nobody works any more, after the context of the last pass has ended.
func (r *Runner) Close() {
	r.stopAll()
	r.working.Wait()
}

func (r *Runner) stopAll() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, stop := range r.busy {
		stop()
	}
}

// Pass looks at what is known, tells it, and begins what is due.
func (r *Runner) Pass(ctx context.Context) error {
	looked, err := r.o.Vault.Look(ctx)
	records := r.read(looked.Values)
	r.accounts.see(looked.Values)
	services, tokens, ok := r.o.View()
	var wanted names.Wanted
	if ok {
		wanted = names.Of(services, r.o.Rules)
	}
	now := r.o.Now()
	wanted.Names = ownOnes(now, wanted.Names, records)
	busy := r.isBusy()
	p := plan(now, wanted.Names, records, busy, orderTimes(looked.Values[ordersName]), r.o.Settings)
	r.show(wanted, records, looked.Refused, p)
	if !ok || err != nil {
		return err
	}
	r.metrics.show(wanted.Names, records, now)
	if looked.Store == "" {
		return nil // its mirror asks for another pass
	}
	if looked.Store != r.store {
		r.store, r.since, r.told = looked.Store, time.Now(), untold
	}
	r.announce(ctx, tokens)
	r.due.Store(len(p.Orders)+len(p.Asks)+len(p.Drop)+len(busy) > 0)
	if !p.Next.IsZero() {
		r.o.Poke.After(max(p.Next.Sub(now), 0) + 10*time.Millisecond)
	}
	if r.due.Load() {
		r.lease.Poke()
	}
	if !r.lease.Held() {
		r.accounts.forget()
		return nil
	}
	if wait := r.strange(); wait > 0 {
		r.o.Poke.After(wait)
		return nil
	}
	return r.begin(ctx, p)
}

// The times for which nothing is ordered with a store that has just been met: it may have lost
// accounts and certificates, of which the others give back what this replica never had.
const (
	strangeAtLeast, strangeAtMost = time.Second, 5 * time.Second
	strangeLook                   = 50 * time.Millisecond
)

// strange returns how long it is until it is worth a look whether something may be ordered with
// this store, 0 if it may.
func (r *Runner) strange() time.Duration {
	age := time.Since(r.since)
	switch {
	case age < strangeAtLeast:
		return strangeAtLeast - age
	case age < strangeAtMost && slices.ContainsFunc(r.o.Peers(), func(peer string) bool {
		_, told := r.others.Value(readyPrefix + bus.Token(peer))
		return !told
	}):
		return strangeLook
	}
	return 0
}

// read makes records of the values, those that have not changed as they were.
func (r *Runner) read(values map[string]string) map[string]Record {
	texts, parsed := make(map[string]string, len(values)), make(map[string]Record, len(values))
	for name, text := range values {
		host, ok := strings.CutPrefix(name, namePrefix)
		if !ok || text == "" {
			continue
		}
		record, known := r.parsed[host]
		if !known || r.texts[host] != text {
			var err error
			if record, err = parseRecord(host, text); err != nil {
				r.o.Log.Warn("a record of a certificate", "host", host, "error", err)
			}
		}
		texts[host], parsed[host] = text, record
	}
	r.texts, r.parsed = texts, parsed
	return parsed
}

// show makes what is known the present, and says so if something else is to be served or answered.
func (r *Runner) show(wanted names.Wanted, records map[string]Record, refused map[string]error, p Plan) {
	last := r.known.Load()
	k := &Known{Troubles: map[string]Trouble{}}
	before := map[string]certs.Candidate{}
	if last != nil {
		for _, c := range last.Certificates {
			before[c.Host] = c
		}
	}
	for _, host := range slices.Sorted(maps.Keys(records)) {
		record := records[host]
		if o := record.Order; o != nil && o.Token != "" {
			k.Questions = append(k.Questions, Question{host, o.Token, o.Answer})
		}
		// To read a certificate takes a while, and few change.
		c, ok := before[host]
		if !ok || c.Text != record.Chain+record.Key {
			c, ok = record.candidate()
		}
		if ok && record.Chain != "" {
			k.Certificates = append(k.Certificates, c)
		}
	}
	for _, n := range wanted.Names {
		record, err := records[n.Host], refused[namePrefix+n.Host]
		switch {
		case err != nil:
			k.Troubles[n.Host] = unopened(n.Host, err)
		case record.Failures > 0 && record.Last != nil:
			k.Troubles[n.Host] = trouble(record, r.o.Settings, n.DNS)
		}
	}
	for _, host := range p.Waiting {
		if _, ok := k.Troubles[host]; !ok && records[host].Chain == "" {
			k.Troubles[host] = Trouble{
				Reason: fmt.Sprintf("no certificate for %s yet: %d orders in an hour are the most; it is ordered at %s", host, r.o.Settings.PerHour, p.Room.UTC().Format(time.RFC3339)),
				Hint:   "ACME_ORDERS_PER_HOUR says how many",
			}
		}
	}
	r.known.Store(k)
	if last == nil || !slices.Equal(last.Questions, k.Questions) || !maps.Equal(last.Troubles, k.Troubles) ||
		!slices.EqualFunc(last.Certificates, k.Certificates, func(a, b certs.Candidate) bool { return a.Host == b.Host && a.Text == b.Text }) {
		r.o.Changed()
	}
}

// untold is what no replica tells: tokens have no spaces at their ends.
const untold = " "

// readyTTL is how long the bus keeps which questions a replica can answer.
const readyTTL = time.Hour

// announce tells which questions this replica can answer, if these are others than before or the
// store is another one, to which this replica has given back then what it knows.
func (r *Runner) announce(ctx context.Context, tokens []string) {
	slices.Sort(tokens)
	said := strings.Join(tokens, " ")
	if said == r.told {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if _, err := r.o.Bus.Bucket(bus.ManualBucket).Put(ctx, readyPrefix+bus.Token(r.o.Instance), []byte(said), bus.WithTTL(readyTTL)); err != nil {
		r.o.Poke.After(time.Second)
		return
	}
	r.told = said
}

// The times for which an answer to a question is waited.
const (
	// readyHere is how long HAProxy may take here, readyThere how long it is waited for others:
	// one that is away cannot be asked by the authority either.
	readyHere, readyThere = 30 * time.Second, 5 * time.Second
	readyLook             = 20 * time.Millisecond
)

// ready waits until all replicas that live can answer a question.
func (r *Runner) ready(ctx context.Context, token string) error {
	start := time.Now()
	tick := time.NewTicker(readyLook)
	defer tick.Stop()
	for {
		_, tokens, _ := r.o.View()
		here := slices.Contains(tokens, token)
		waited := time.Since(start)
		switch {
		case here && (waited > readyThere || r.readyElsewhere(token)):
			return nil
		case waited > readyHere:
			return &readyError{errors.New("HAProxy does not answer the authority's question yet")}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

func (r *Runner) readyElsewhere(token string) bool {
	for _, peer := range r.o.Peers() {
		v, ok := r.others.Value(readyPrefix + bus.Token(peer))
		if !ok || !slices.Contains(strings.Fields(string(v.Data)), token) {
			return false
		}
	}
	return true
}

func (r *Runner) isBusy() map[string]bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make(map[string]bool, len(r.busy))
	for host := range r.busy {
		out[host] = true
	}
	return out
}

// begin starts what is due, as much as may be done at once.
func (r *Runner) begin(ctx context.Context, p Plan) error {
	for _, host := range p.Drop {
		if err := r.o.Vault.Remove(ctx, namePrefix+host); err != nil && !errors.Is(err, vault.ErrNotFound) {
			return err
		}
	}
	for _, n := range r.takeable(p.Orders, r.parsed, r.o.Now()) {
		r.start(ctx, n.Host, func(ctx context.Context) { r.takeOver(ctx, n.Host) })
	}
	for _, n := range p.Orders {
		r.start(ctx, n.Host, func(ctx context.Context) { r.order(ctx, n) })
	}
	for _, host := range p.Asks {
		r.start(ctx, host, func(ctx context.Context) { r.ask(ctx, host) })
	}
	return nil
}

// start works on a host, unless somebody does or too many are being worked on.
func (r *Runner) start(ctx context.Context, host string, work func(context.Context)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.busy[host] != nil || len(r.busy) >= mostAtOnce {
		return
	}
	ctx, stop := context.WithCancel(ctx)
	r.busy[host] = stop
	r.working.Go(func() {
		defer func() {
			stop()
			r.mu.Lock()
			delete(r.busy, host)
			r.mu.Unlock()
			r.poke()
		}()
		if r.lease.Held() {
			work(ctx)
		}
	})
}

// errFull says that there is no room for another order.
var errFull = errors.New("no further order may begin in this hour")

// mostAttempt is how long one attempt may take: longer than any provider of DNS wants a record to be
// waited for, so that nothing that hangs keeps others from their certificates for ever.
const mostAttempt = 45 * time.Minute

// inTime is obtain with an end. Its context has no deadline, since the bus would take that for the time
// within which each of its answers must come.
func (w *work) inTime(ctx context.Context) error {
	attempt, cancel := context.WithCancel(ctx)
	defer cancel()
	defer time.AfterFunc(mostAttempt, cancel).Stop()
	err := w.obtain(attempt)
	if err != nil && attempt.Err() != nil && ctx.Err() == nil {
		return &slowError{fmt.Errorf("given up after %s: %w", mostAttempt, err)}
	}
	return err
}

// order obtains one certificate, and notes why it could not.
func (r *Runner) order(ctx context.Context, n names.Name) {
	w := &work{r: r, name: n, page: &page{Record: Record{Host: n.Host}, vault: r.o.Vault}}
	start := r.o.Now()
	err := w.inTime(ctx)
	switch {
	case err == nil:
		r.metrics.results.WithLabelValues("ok").Inc()
		r.o.Log.Info("a certificate", "host", n.Host, "authority", r.o.Settings.name(w.page.Authority), "until", w.page.Until, "took", r.o.Now().Sub(start))
		return
	case errors.Is(err, errNothingToDo), errors.Is(err, errFull):
		return
	case kindOf(err) == kindBus:
		// Nothing can be written down, and at least here it is not tried again at once.
		r.o.Log.Warn("no certificate, because the bus does not answer", "host", n.Host, "error", err)
		select {
		case <-ctx.Done():
		case <-time.After(min(r.o.Settings.Pause, time.Minute)):
		}
		return
	case errors.Is(err, vault.ErrConflict):
		r.o.Log.Info("somebody else obtains a certificate", "host", n.Host)
		return
	case ctx.Err() != nil:
		return // whoever goes on knows where it stands
	}
	r.fail(ctx, w, err)
}

// fail notes a failure in the record.
func (r *Runner) fail(ctx context.Context, w *work, err error) {
	p, s := w.page, r.o.Settings
	all := s.authorities(w.name.Staging)
	f := Failure{Time: r.o.Now().UTC(), Authority: all[min(p.With, len(all)-1)].Directory, Kind: kindOf(err), Said: said(err)}
	r.metrics.results.WithLabelValues(f.Kind).Inc()
	if p.Order != nil {
		p.Order.Token, p.Order.Answer = "", ""
		if f.Kind != kindAway && f.Kind != kindSlow {
			p.Order = nil // what has failed at the authority does not come to life again
		}
	}
	p.fail(f, s, w.name.Staging)
	r.o.Log.Warn("no certificate", "host", p.Host, "authority", s.name(f.Authority), "kind", f.Kind, "error", err, "failures", p.Failures, "next", p.Next)
	if err := p.write(ctx); err != nil && ctx.Err() == nil {
		r.o.Log.Warn("a failure could not be written down", "host", p.Host, "error", err)
		// At least here it is not tried again at once.
		select {
		case <-ctx.Done():
		case <-time.After(min(r.o.Settings.Pause, time.Minute)):
		}
	}
}

// orderTimes reads the value with the times of orders.
func orderTimes(text string) []time.Time {
	var out []time.Time
	if text == "" || json.Unmarshal([]byte(text), &out) != nil {
		return nil
	}
	return out
}

// count notes that an order begins, if there is room for it.
func (r *Runner) count(ctx context.Context) error {
	r.counting.Lock()
	defer r.counting.Unlock()
	for range 5 {
		text, stamp, err := r.o.Vault.Read(ctx, ordersName)
		if err != nil {
			return err
		}
		now := r.o.Now()
		began := recentOrders(orderTimes(text), now)
		if room, _ := roomFor(began, r.o.Settings.PerHour, now); room <= 0 {
			return errFull
		}
		content, err := json.Marshal(append(began, now.UTC()))
		if err != nil {
			return err
		}
		if _, err = r.o.Vault.Write(ctx, ordersName, string(content), stamp); !errors.Is(err, vault.ErrConflict) {
			return err
		}
	}
	return vault.ErrConflict
}

// How often an authority is asked when to renew, if it does not say how often.
const askEvery, askLeast = 6 * time.Hour, time.Hour

// mostAsk is the longest time for which an authority is not asked, whatever it says.
const mostAsk = 24 * time.Hour

// ask asks the authority when a certificate is best renewed.
func (r *Runner) ask(ctx context.Context, host string) {
	p := &page{Record: Record{Host: host}, vault: r.o.Vault}
	if err := p.read(ctx); err != nil || p.leaf() == nil {
		return
	}
	now := r.o.Now()
	next := &Renewal{Ask: now.Add(askEvery + time.Duration(share(host)*float64(askLeast))).UTC()}
	if p.Renewal != nil {
		next.At = p.Renewal.At
	}
	r.accounts.mu.Lock()
	client := r.accounts.client(p.Authority)
	r.accounts.mu.Unlock()
	info, err := client.GetRenewalInfo(ctx, p.leaf())
	switch {
	case ctx.Err() != nil:
		return
	case errors.Is(err, acme.ErrUnsupported):
		next.At = time.Time{}
	case err != nil:
		r.o.Log.Debug("the authority does not say when to renew", "host", host, "error", err)
	case info.HasWindow():
		start, end := info.SuggestedWindow.Start, info.SuggestedWindow.End
		if next.At.Before(start) || next.At.After(end) {
			next.At = start.Add(time.Duration(rand.Float64() * float64(end.Sub(start)))).UTC() //nolint:gosec // it need not be secret.
		}
		if info.RetryAfter != nil && info.RetryAfter.After(now.Add(askLeast)) {
			next.Ask = info.RetryAfter.UTC()
		}
		if most := now.Add(mostAsk); next.Ask.After(most) {
			next.Ask = most.UTC()
		}
	}
	p.Renewal = next
	if err := p.write(ctx); err != nil && ctx.Err() == nil && !errors.Is(err, vault.ErrConflict) {
		r.o.Log.Debug("when to renew could not be written down", "host", host, "error", err)
	}
}
