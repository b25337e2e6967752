// Package dns proves by a record in DNS whose a host is. How records are made at each provider
// the library lego knows, which reads the credentials from variables of its own: NAME, or
// NAME_FILE for a secret. It is the only importer of lego.
package dns

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-acme/lego/v5/challenge"
	"github.com/go-acme/lego/v5/challenge/dns01"
	"github.com/go-acme/lego/v5/platform/env"
	"github.com/go-acme/lego/v5/providers/dns/acmedns"
	"github.com/go-acme/lego/v5/providers/dns/cloudflare"
	"github.com/go-acme/lego/v5/providers/dns/digitalocean"
	"github.com/go-acme/lego/v5/providers/dns/dnsupdate"
	"github.com/go-acme/lego/v5/providers/dns/exec"
	"github.com/go-acme/lego/v5/providers/dns/gandiv5"
	"github.com/go-acme/lego/v5/providers/dns/hetzner"
	"github.com/go-acme/lego/v5/providers/dns/httpreq"
	"github.com/go-acme/lego/v5/providers/dns/ovh"
	"github.com/go-acme/lego/v5/providers/dns/route53"
	"github.com/miekg/dns"

	"github.com/wagglehq/waggle/proxy/internal/certs/acme"
)

// Prover makes records at one provider. It follows CNAMEs of the challenge's name, so that the
// records of one zone may lie in another.
type Prover struct {
	provider challenge.Provider
	// hidden are the texts that no error shows.
	hidden *strings.Replacer
	// resolvers are asked whether a record can be seen; empty: the zone's own name servers.
	resolvers []string
}

// New returns a Prover, or nil without a name. resolvers are name servers with ports, separated by
// commas. The error says which variables the provider misses.
func New(name, resolvers string) (acme.DNS, error) {
	if name == "" {
		return nil, nil //nolint:nilnil // no provider is no error.
	}
	p := Prover{}
	for word := range strings.FieldsFuncSeq(resolvers, func(r rune) bool { return r == ',' || r == ' ' }) {
		if _, _, err := net.SplitHostPort(word); err != nil {
			return nil, fmt.Errorf("acme-dns-resolvers: %q: want ADDRESS:PORT", word)
		}
		p.resolvers = append(p.resolvers, word)
	}
	if len(p.resolvers) > 0 {
		options := dns01.NewOptions()
		options.RecursiveNameservers = slices.Clone(p.resolvers)
		dns01.SetDefaultClient(dns01.NewClient(options))
	}
	var err error
	if p.provider, err = provider(name); err != nil {
		return nil, fmt.Errorf("acme-dns: %s: %w", name, err)
	}
	p.hidden = hiding(secrets(name))
	return p, nil
}

func provider(name string) (challenge.Provider, error) {
	switch name {
	case "acme-dns":
		return acmedns.NewDNSProvider()
	case "cloudflare":
		return cloudflare.NewDNSProvider()
	case "digitalocean":
		return digitalocean.NewDNSProvider()
	case "exec":
		return exec.NewDNSProvider()
	case "gandi":
		return gandiv5.NewDNSProvider()
	case "hetzner":
		return hetzner.NewDNSProvider()
	case "http":
		return httpreq.NewDNSProvider()
	case "ovh":
		return ovh.NewDNSProvider()
	case "rfc2136":
		return dnsupdate.NewDNSProvider()
	case "route53":
		return amazon()
	}
	return nil, fmt.Errorf("want one of %s", strings.Join(acme.Providers(), ", "))
}

// sessionToken is a variable of AWS's for which the library has no name.
const sessionToken = "AWS_SESSION_TOKEN"

// amazon reads what the library leaves to that of AWS, which knows no files.
func amazon() (challenge.Provider, error) {
	c := route53.NewDefaultConfig()
	c.AccessKeyID, c.SecretAccessKey = env.GetOrFile(route53.EnvAccessKeyID), env.GetOrFile(route53.EnvSecretAccessKey)
	c.Region = env.GetOrFile(route53.EnvRegion)
	if c.AccessKeyID != "" && c.SecretAccessKey != "" {
		c.SessionToken = env.GetOrFile(sessionToken)
	}
	return route53.NewDNSProviderConfig(c)
}

// provideFor is how long a provider may take to make a record, or to take it away: to wait until it is
// seen is not its task.
const provideFor = 5 * time.Minute

// within asks a provider, and does not wait for one that does not end with its time, such as a program
// that has left another one behind.
func (p Prover) within(ctx context.Context, ask func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, provideFor)
	done := make(chan error, 1)
	go func() {
		defer cancel()
		done <- ask(ctx)
	}()
	select {
	case err := <-done:
		return p.hide(err)
	case <-ctx.Done():
		select {
		case err := <-done:
			return p.hide(err)
		default:
			return ctx.Err()
		}
	}
}

// hide takes out of an error what is secret: some providers repeat what they were told.
func (p Prover) hide(err error) error {
	if err == nil {
		return nil
	}
	return errors.New(p.hidden.Replace(err.Error()))
}

// variables are those of a provider that hold what is secret, or an address that may.
func variables(name string) []string {
	return map[string][]string{
		"acme-dns":     {acmedns.EnvAPIBase, acmedns.EnvStorageBaseURL},
		"cloudflare":   {cloudflare.EnvAPIKey, cloudflare.EnvDNSAPIToken, cloudflare.EnvZoneAPIToken, "CF_API_KEY", "CF_DNS_API_TOKEN", "CF_ZONE_API_TOKEN"},
		"digitalocean": {digitalocean.EnvAuthToken},
		"gandi":        {gandiv5.EnvAPIKey, gandiv5.EnvPersonalAccessToken},
		"hetzner":      {hetzner.EnvAPIToken, "HETZNER_API_KEY"},
		"http":         {httpreq.EnvEndpoint, httpreq.EnvPassword},
		"ovh":          {ovh.EnvApplicationKey, ovh.EnvApplicationSecret, ovh.EnvConsumerKey, ovh.EnvClientSecret, ovh.EnvAccessToken},
		"rfc2136":      {"RFC2136_TSIG_SECRET", dnsupdate.EnvTSIGSecret, dnsupdate.EnvTSIGGSSPassword},
		"route53":      {route53.EnvSecretAccessKey, sessionToken},
	}[name]
}

// secrets are the values of these variables, or of their files, and of an address what it has of names,
// passwords and parameters.
func secrets(name string) []string {
	var out []string
	for _, variable := range variables(name) {
		text := env.GetOrFile(variable)
		u, err := url.Parse(text)
		if err != nil || u.Host == "" {
			out = append(out, text)
			continue
		}
		password, _ := u.User.Password()
		out = append(out, u.User.Username(), password, u.RawQuery)
		for _, values := range u.Query() {
			out = append(out, values...)
		}
	}
	return out
}

// leastSecret is how long a text is at least that is hidden: a shorter one would be found in words.
const leastSecret = 4

// hiding replaces texts by stars, the longest first.
func hiding(texts []string) *strings.Replacer {
	slices.SortFunc(texts, func(a, b string) int { return cmp.Or(cmp.Compare(len(b), len(a)), strings.Compare(a, b)) })
	var pairs []string
	for _, text := range slices.Compact(texts) {
		if len(text) >= leastSecret {
			pairs = append(pairs, text, "***")
		}
	}
	return strings.NewReplacer(pairs...)
}

// How long a record is waited for, if the provider does not say it, and how often it is looked for.
const seenFor, seenEvery = 2 * time.Minute, 2 * time.Second

// Present makes the record, and returns when all name servers have it, or when it has been waited
// for long enough: then the authority finds out.
func (p Prover) Present(ctx context.Context, host, token, answer string) error {
	if err := p.within(ctx, func(ctx context.Context) error { return p.provider.Present(ctx, host, token, answer) }); err != nil {
		return err
	}
	limit, every := seenFor, seenEvery
	if t, ok := p.provider.(challenge.ProviderTimeout); ok {
		limit, every = t.Timeout()
	}
	info := dns01.GetChallengeInfo(ctx, host, answer)
	outer := ctx
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		if p.isSeen(ctx, info.EffectiveFQDN, info.Value) {
			return nil
		}
		select {
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) && outer.Err() == nil {
				return nil
			}
			return ctx.Err()
		case <-time.After(every):
		}
	}
}

// CleanUp takes the record away.
func (p Prover) CleanUp(ctx context.Context, host, token, answer string) error {
	return p.within(ctx, func(ctx context.Context) error { return p.provider.CleanUp(ctx, host, token, answer) })
}

// isSeen reports whether all name servers that are to be asked have a record.
func (p Prover) isSeen(ctx context.Context, name, text string) bool {
	servers := p.resolvers
	if len(servers) == 0 {
		servers = authoritative(ctx, name)
	}
	for _, server := range servers {
		if !has(ctx, server, name, text) {
			return false
		}
	}
	return len(servers) > 0
}

// authoritative are the name servers of the zone in which a name lies.
func authoritative(ctx context.Context, name string) []string {
	zone, err := dns01.DefaultClient().FindZoneByFqdn(ctx, name)
	if err != nil {
		return nil
	}
	list, err := net.DefaultResolver.LookupNS(ctx, zone)
	if err != nil {
		return nil
	}
	var out []string
	for _, ns := range list {
		out = append(out, net.JoinHostPort(strings.TrimSuffix(ns.Host, "."), "53"))
	}
	return out
}

func has(ctx context.Context, server, name, text string) bool {
	question := new(dns.Msg).SetQuestion(dns.Fqdn(name), dns.TypeTXT)
	answer, _, err := (&dns.Client{Timeout: 3 * time.Second}).ExchangeContext(ctx, question, server)
	if err != nil {
		return false
	}
	return slices.ContainsFunc(answer.Answer, func(r dns.RR) bool {
		txt, ok := r.(*dns.TXT)
		return ok && strings.Join(txt.Txt, "") == text
	})
}
