package settings

import (
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"net/mail"
	"slices"
	"strings"
	"time"

	"github.com/wagglehq/waggle/pkg/app"
	"github.com/wagglehq/waggle/proxy/internal/certs/acme"
	"github.com/wagglehq/waggle/proxy/internal/wish/names"
)

// ACME are the settings of certificates that the proxy obtains. It has as many fields as there
// are settings.
type ACME struct {
	// Mode is off, labels or all; empty: labels if there is an e-mail address, off otherwise.
	Mode, Email                  string
	Directory, CA                string
	EABKeyID                     string
	EABKey                       app.Secret
	Fallback                     string
	FallbackEABKeyID             string
	FallbackEABKey               app.Secret
	KeyType, PreferredChain      string
	RenewalInfo                  bool
	OrdersPerHour                int
	Challenge, DNS, DNSResolvers string
	Import                       string
}

// DefaultOrdersPerHour is well below what Let's Encrypt allows: 300 in three hours.
const DefaultOrdersPerHour = 90

func (a *ACME) flags(fs *flag.FlagSet) {
	fs.StringVar(&a.Mode, "acme", "", "for which hosts certificates are obtained by ACME: off; labels, for services with com.df.acme or com.df.letsencrypt.host; all, for each whole name in com.df.serviceDomain; empty: labels if there is an acme-email, off otherwise. Whoever turns it on agrees to the authority's terms")
	fs.StringVar(&a.Email, "acme-email", "", "where the authority may write to")
	fs.StringVar(&a.Directory, "acme-directory", "letsencrypt", "the authority: letsencrypt, staging (Let's Encrypt's for tests), zerossl, google, or the address of a directory")
	fs.StringVar(&a.CA, "acme-ca", "", "certificates (PEM) of those who vouch for the directory of an authority of your own; empty: those that the system trusts")
	fs.StringVar(&a.EABKeyID, "acme-eab-key-id", "", "name of the key by which an account is bound to one outside of ACME, where the authority asks for that")
	fs.Var(&a.EABKey, "acme-eab-key", "that key, in base64url, as the authority shows it")
	fs.StringVar(&a.Fallback, "acme-fallback", "", "a second authority, as in acme-directory, that is asked when the first one is away, at its limit, or refuses for reasons of its own")
	fs.StringVar(&a.FallbackEABKeyID, "acme-fallback-eab-key-id", "", "as acme-eab-key-id, for the second authority")
	fs.Var(&a.FallbackEABKey, "acme-fallback-eab-key", "as acme-eab-key, for the second authority")
	fs.StringVar(&a.KeyType, "acme-key-type", acme.EC256, "the keys of certificates: "+strings.Join(acme.KeyTypes(), ", "))
	fs.StringVar(&a.PreferredChain, "acme-preferred-chain", "", "common name of the authority at the end of the chain to serve, where several are offered (ISRG Root X1)")
	fs.BoolVar(&a.RenewalInfo, "acme-renewal-info", true, "ask the authority when to renew (ARI), also ahead of time when it takes certificates back; without it a third of their time before they end")
	fs.IntVar(&a.OrdersPerHour, "acme-orders-per-hour", DefaultOrdersPerHour, "how many orders all replicas together may begin in an hour")
	fs.StringVar(&a.Challenge, "acme-challenge", names.HTTP, "how hosts are proven whose services do not say it by com.df.acmeChallenge: http or dns")
	fs.StringVar(&a.DNS, "acme-dns", "", "provider of DNS for acme-challenge=dns: "+strings.Join(acme.Providers(), ", ")+"; its credentials are in its own variables, see docs/tls.md")
	fs.StringVar(&a.DNSResolvers, "acme-dns-resolvers", "", "name servers with ports, separated by commas, that are asked where a record belongs and whether it can be seen; empty: those of the system")
	fs.StringVar(&a.Import, "acme-import", "", "acme.json of Traefik, or a folder of certbot (/etc/letsencrypt), whose certificates are taken over for hosts that have none yet")
}

// On reports whether certificates are obtained.
func (a *ACME) On() bool { return a.mode() != names.Off }

func (a *ACME) mode() string {
	switch {
	case a.Mode != "":
		return a.Mode
	case a.Email != "":
		return names.ByLabels
	}
	return names.Off
}

// Rules say for which hosts.
func (a *ACME) Rules() names.Rules {
	return names.Rules{On: a.On(), All: a.mode() == names.ForAll, Challenge: a.Challenge, CanDNS: a.DNS != ""}
}

// firstPause is the pause after a first failure.
const firstPause = time.Minute

// Settings checks the settings and returns those of whoever obtains.
func (a *ACME) Settings() (acme.Settings, error) {
	s := acme.Settings{
		Email: a.Email, Staging: acme.Staging(), KeyType: a.KeyType, PreferredChain: a.PreferredChain,
		RenewalInfo: a.RenewalInfo, PerHour: a.OrdersPerHour, Pause: firstPause,
	}
	if !slices.Contains([]string{"", names.Off, names.ByLabels, names.ForAll}, a.Mode) {
		return s, fmt.Errorf("acme: %q: want off, labels or all", a.Mode)
	}
	if a.Email != "" {
		if address, err := mail.ParseAddress(a.Email); err != nil || address.Address != a.Email {
			return s, fmt.Errorf("acme-email: %q: want an address such as ops@example.com", a.Email)
		}
	}
	for _, of := range []struct {
		setting, text string
		binding, id   string
		key           app.Secret
	}{
		{"acme-directory", a.Directory, "acme-eab-key", a.EABKeyID, a.EABKey},
		{"acme-fallback", a.Fallback, "acme-fallback-eab-key", a.FallbackEABKeyID, a.FallbackEABKey},
	} {
		if of.text == "" && of.setting == "acme-fallback" {
			continue
		}
		authority, ok := acme.ParseAuthority(of.text)
		if !ok {
			return s, fmt.Errorf("%s: %q: want letsencrypt, staging, zerossl, google, or an address that begins with https://", of.setting, of.text)
		}
		if (of.id == "") != (of.key == "") {
			return s, fmt.Errorf("%s-id and %s: want both, or none: the name of the key that binds an account, and the key", of.binding, of.binding)
		}
		authority.KeyID, authority.MACKey = of.id, strings.TrimRight(strings.TrimSpace(string(of.key)), "=")
		s.Authorities = append(s.Authorities, authority)
	}
	if a.CA != "" {
		s.Roots, _ = x509.SystemCertPool()
		if s.Roots == nil {
			s.Roots = x509.NewCertPool()
		}
		if !s.Roots.AppendCertsFromPEM([]byte(a.CA)) {
			return s, errors.New("acme-ca: want certificates as PEM")
		}
	}
	switch {
	case !slices.Contains(acme.KeyTypes(), a.KeyType):
		return s, fmt.Errorf("acme-key-type: %q: want one of %s", a.KeyType, strings.Join(acme.KeyTypes(), ", "))
	case a.OrdersPerHour < 1 || a.OrdersPerHour > 10000:
		return s, fmt.Errorf("acme-orders-per-hour: %d: want a number from 1 to 10000", a.OrdersPerHour)
	case a.Challenge != names.HTTP && a.Challenge != names.DNS:
		return s, fmt.Errorf("acme-challenge: %q: want http or dns", a.Challenge)
	case a.Challenge == names.DNS && a.DNS == "":
		return s, errors.New("acme-challenge: dns needs acme-dns, the provider of DNS")
	case a.DNS != "" && !slices.Contains(acme.Providers(), a.DNS):
		return s, fmt.Errorf("acme-dns: %q: want one of %s", a.DNS, strings.Join(acme.Providers(), ", "))
	}
	return s, nil
}

// settings checks the settings together with those that they depend on.
func (a *ACME) settings(c *Config) error {
	if _, err := a.Settings(); err != nil {
		return err
	}
	switch {
	case !a.On():
		return nil
	case c.Certs.ListPath != "":
		return errors.New("acme: not beside crt-list-path, which names all certificates")
	case c.Certs.SealKey == "" && c.Token.First() == "":
		return errors.New("acme: want a seal-key, or a token, to seal keys on the bus by")
	}
	return nil
}
