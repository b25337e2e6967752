// Package settings is what the operator says: the flags of the proxy, checked and in the
// forms that its rooms take. What must be read from a disk for it stands in disk.go.
package settings

import (
	"flag"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wagglehq/waggle/pkg/app"
	"github.com/wagglehq/waggle/pkg/place"
	"github.com/wagglehq/waggle/proxy/internal/addresses"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/render"
	"github.com/wagglehq/waggle/proxy/internal/wish/outbound"
	"github.com/wagglehq/waggle/proxy/internal/wish/route/owners"
	"github.com/wagglehq/waggle/proxy/internal/wish/static"
	"github.com/wagglehq/waggle/proxy/judge"
)

// Config is the operator's part. It has as many fields as there are settings.
type Config struct {
	NATSURL string
	NATSKey app.Secret
	// NATSCA vouches for servers with tls://, see bus.Options; ControlNetwork is the
	// network on which their names are asked for first.
	NATSCA, ControlNetwork string
	// Instance names this replica on the bus; empty: the host name.
	Instance string
	// DataDir is on a volume: the last good configuration and the services it was
	// made of. RunDir holds the sockets and lives as long as the container.
	DataDir, RunDir string
	HAProxy         string
	// HAProxyUser and ControllerUser are whom the two run as ("98:99"), see
	// supervisor.Options; empty: whoever the supervisor is.
	HAProxyUser, ControllerUser string
	MaxConn                     int
	Networks                    string
	Separator                   string
	TrustedProxies              string
	// Outbound lists the hosts and networks outside of the swarm that labels may name.
	Outbound string
	// Owners is the text of the file that says whose hosts are whose.
	Owners        string
	HardStopAfter time.Duration
	MaxReloads    int
	// Clients are the limits of one client, LabelBudget multiplies what all services
	// together may ask for.
	Clients     clients
	LabelBudget int
	// ServiceMetrics counts requests for each service and measures them.
	ServiceMetrics bool
	Drain          time.Duration
	Timeouts       render.Timeouts
	// Edge are the settings of ports, TLS, logs and the like.
	Edge Edge
	// Certs are the settings of certificates.
	Certs Certificates
	// ACME are the settings of certificates that are obtained.
	ACME ACME
	// Token must be sent by whoever changes something over HTTP, or reads the
	// configuration. DockerFlowAPI offers the interface of Docker Flow Proxy.
	Token app.Secret
	// TokenOther is accepted as well.
	TokenOther    app.Secret
	DockerFlowAPI bool
	// DockerFlowAddress is where that interface is offered instead of on the admin port, and
	// DockerFlowFrom lists who needs no token there.
	DockerFlowAddress, DockerFlowFrom string
	// Environ are the variables of the process ("NAME=text"), for static services
	// and for settings that name another variable.
	Environ []string `json:"-"`
	// Resolver replaces the system's DNS in tests.
	Resolver addresses.Resolver `json:"-"`
	// Place is where the proxy runs.
	Place place.Place `json:"-"`
}

// Flags declares the flags with their defaults.
func (c *Config) Flags(fs *flag.FlagSet) {
	c.Timeouts = render.DefaultTimeouts()
	fs.StringVar(&c.NATSURL, "nats-url", "tls://waggle_listener:4222", "where NATS is, several separated by commas")
	fs.Var(&c.NATSKey, "nats-key", "secret by which the proxy proves itself to NATS; of several, separated by white space, the first")
	fs.StringVar(&c.NATSCA, "nats-ca", "", "certificates (PEM) of those who vouch for servers with tls://, or system for those that the system trusts; empty: such a server proves itself by the key of this component, as the listener does")
	fs.StringVar(&c.ControlNetwork, "control-network", "waggle_control", "network of Docker on which a name without a dot in nats-url is asked for first")
	fs.StringVar(&c.Instance, "instance", "", "name of this replica on the bus; empty: the host name")
	fs.StringVar(&c.DataDir, "data-dir", "/var/lib/waggle", "folder on a volume for the last good configuration")
	fs.StringVar(&c.RunDir, "run-dir", "/run/waggle", "folder for the sockets of HAProxy")
	fs.StringVar(&c.HAProxy, "haproxy", "haproxy", "HAProxy's program, 3.0 or later")
	fs.StringVar(&c.HAProxyUser, "haproxy-user", "", "whom HAProxy runs as, by the numbers of user and group (98:99), in a container that begins as root with SETUID, SETGID and KILL; empty: as whoever the container runs")
	fs.StringVar(&c.ControllerUser, "controller-user", "", "whom the controller runs as, likewise; the folder of the configuration is its own, and its group HAProxy's")
	c.Edge.flags(fs)
	c.Certs.flags(fs)
	c.ACME.flags(fs)
	c.Clients.flags(fs)
	fs.IntVar(&c.LabelBudget, "label-budget", judge.DefaultLabelBudget, "how many times the usual amounts the labels of all services together may ask for: 100,000 hosts with paths, 2,000 conditions, 1,000 TCP ports and so on; more needs more memory")
	app.TokenVar(fs, &c.Token, "token", "bearer token that whoever changes something over HTTP, or reads the configuration, must send, of 16 bytes or more; without one both are closed; of several, separated by white space, each counts")
	app.TokenVar(fs, &c.TokenOther, "token-other", "a further token that is accepted as well, while one is replaced")
	fs.BoolVar(&c.DockerFlowAPI, "docker-flow-api", false, "offer Docker Flow Proxy's HTTP interface (/v1/docker-flow-proxy) on the admin port, and its metrics haproxy_*")
	fs.StringVar(&c.DockerFlowAddress, "docker-flow-address", "", "where Docker Flow Proxy's HTTP interface is offered, and nothing else, instead of on the admin port: a port (:8081), an address with one, or a network of Docker with one (waggle:8081)")
	fs.StringVar(&c.DockerFlowFrom, "docker-flow-from", "", "addresses and networks, separated by commas, that need no token at docker-flow-address")
	fs.BoolVar(&c.ServiceMetrics, "service-metrics", true, "count the requests for each service and measure how long they take, as the metrics waggle_proxy_service_*: at most 27 series for each service")
	fs.IntVar(&c.MaxConn, "maxconn", 0, "connections at a time; 0, and what is more than the limit of open files allows, follows that limit, up to about 100,000")
	fs.StringVar(&c.Networks, "networks", judge.DefaultNetworks, "networks shared with services, separated by commas; empty: not checked")
	fs.StringVar(&c.Separator, "separator", judge.DefaultSeparator, "separates the elements of lists in labels")
	fs.StringVar(&c.TrustedProxies, "trusted-proxies", "", "addresses or networks whose X-Forwarded-* headers are kept, separated by commas; networks that the proxy shares with services are left out unless they, or addresses in them, are named")
	fs.StringVar(&c.Outbound, "outbound", "", "hosts (legacy.example.com, *.example.com), addresses and networks that com.df.outboundHostname and com.df.forwardAuth may name, separated by commas; empty: all outside of Waggle and the nodes; none: no host")
	fs.StringVar(&c.Owners, "owners", "", "whose hosts, paths and ports are whose, as YAML; OWNERS_FILE names a file with it; empty: whoever comes first has what he claims")
	fs.DurationVar(&c.HardStopAfter, "hard-stop-after", 0, "how long an old worker may finish its connections after a reload; 0: as long as it takes")
	fs.IntVar(&c.MaxReloads, "max-reloads", 0, "how many reloads an old worker may live through; 0: any number")
	fs.DurationVar(&c.Drain, "drain", 10*time.Second, "how long requests may finish when the proxy stops; for half of it at most the ports stay open")
	for _, t := range []struct {
		name string
		time *time.Duration
	}{
		{"connect", &c.Timeouts.Connect}, {"client", &c.Timeouts.Client}, {"server", &c.Timeouts.Server}, {"queue", &c.Timeouts.Queue},
		{"tunnel", &c.Timeouts.Tunnel}, {"http-request", &c.Timeouts.HTTPRequest}, {"http-keep-alive", &c.Timeouts.HTTPKeepAlive},
	} {
		fs.Var((*seconds)(t.time), "timeout-"+t.name, "HAProxy's timeout "+t.name+", in seconds or as 1m30s")
	}
}

// seconds is a duration that may be given as a number of seconds, as Docker
// Flow's settings are.
type seconds time.Duration

// String is for the flag package.
func (s *seconds) String() string { return time.Duration(*s).String() }

// Set is for the flag package.
func (s *seconds) Set(text string) error {
	d, err := time.ParseDuration(text)
	if n, numErr := strconv.ParseUint(text, 10, 31); numErr == nil {
		d, err = time.Duration(n)*time.Second, nil
	}
	if err != nil || d < time.Millisecond || d > 24*24*time.Hour {
		return fmt.Errorf("want seconds, or a time such as 1m30s, from 1ms to 24 days")
	}
	*s = seconds(d)
	return nil
}

// Tokens are all that are accepted.
func (c *Config) Tokens() app.Secret { return c.Token.And(c.TokenOther) }

// NetworkNames are the networks shared with services.
func (c *Config) NetworkNames() []string { return strings.FieldsFunc(c.Networks, commaOrSpace) }

func commaOrSpace(r rune) bool { return r == ',' || r == ' ' }

// MasterSocket is that of HAProxy's master.
func (c *Config) MasterSocket() string { return filepath.Join(c.RunDir, "master.sock") }

// HAProxySettings checks the settings and returns those of HAProxy.
func (c *Config) HAProxySettings() (render.Settings, error) {
	s := render.Settings{
		Dir: filepath.Join(c.DataDir, "haproxy"), StatsSocket: filepath.Join(c.RunDir, "haproxy.sock"),
		MaxConn: c.MaxConn, HardStopAfter: c.HardStopAfter, MaxReloads: c.MaxReloads, Timeouts: c.Timeouts, Separator: c.Separator,
	}
	s.WakeSocket = filepath.Join(c.RunDir, "wake.sock")
	if c.ServiceMetrics {
		s.MeasuredSocket = filepath.Join(c.RunDir, "measured.sock")
	}
	for _, add := range []func(*render.Settings) error{
		func(s *render.Settings) error { return c.Edge.settings(s, c.Environ) },
		c.Certs.settings,
		func(s *render.Settings) error { s.Challenges = c.ACME.On(); return c.ACME.settings(c) },
		func(s *render.Settings) error { return c.Edge.Users.settings(s, c.Separator) },
		c.trusted,
		c.Clients.settings,
		func(*render.Settings) error {
			if c.LabelBudget < 1 || c.LabelBudget > 1000 {
				return fmt.Errorf("label-budget: %d: want a number from 1 to 1000", c.LabelBudget)
			}
			return nil
		},
		func(*render.Settings) error { _, err := c.DockerFlowTrusted(); return err },
		func(*render.Settings) error { _, err := owners.Parse(c.Owners); return named("owners", err) },
	} {
		if err := add(&s); err != nil {
			return s, err
		}
	}
	return s, nil
}

// trusted adds the proxies in front of this one. Whoever is on a network of the proxy's own
// is none of them, unless it is named: every task there could say who its client is.
func (c *Config) trusted(s *render.Settings) (err error) {
	s.TrustedProxies, err = c.trustedProxies()
	s.Untrusted = outbound.Without(c.Place.Shared(), s.TrustedProxies)
	return err
}

// Untrusted are the proxy's own networks that trusted proxies would cover.
func (c *Config) Untrusted() []netip.Prefix {
	all, err := c.trustedProxies()
	if err != nil {
		return nil // which is told where it is used
	}
	return slices.DeleteFunc(c.Place.Shared(), func(s netip.Prefix) bool {
		return !slices.ContainsFunc(all, func(p netip.Prefix) bool { return p.Overlaps(s) && p.Bits() < s.Bits() })
	})
}

func (c *Config) trustedProxies() ([]netip.Prefix, error) {
	return app.Networks("trusted-proxies", c.TrustedProxies)
}

// DockerFlowTrusted are those who need no token at docker-flow-address.
func (c *Config) DockerFlowTrusted() ([]netip.Prefix, error) {
	return app.Companions{Address: c.DockerFlowAddress, From: c.DockerFlowFrom}.Trusted()
}

// Published are the settings by which labels are judged, as others may read them. The
// proxy judges by the same.
func (c *Config) Published(admin string) map[string]string {
	e := &c.Edge
	return map[string]string{
		"acme": c.ACME.Mode, "acme-challenge": c.ACME.Challenge, "acme-dns": c.ACME.DNS, "admin": admin, "allow-raw": strconv.FormatBool(e.AllowRaw), "bind-ports": e.BindPorts, "crt-list-path": c.Certs.ListPath,
		"default-ports": e.DefaultPorts, "default-req-mode": e.DefaultReqMode, "filter-proxy-instance-name": strconv.FormatBool(e.FilterInstance),
		"https-only": strconv.FormatBool(e.HTTPSOnly), "label-budget": strconv.Itoa(c.LabelBudget), "networks": c.Networks, "outbound": c.Outbound, "owners": c.Owners, "proxy-instance-name": e.Instance, "separator": c.Separator,
		"service-domain-algo": e.ServiceDomainAlgo, "stats-port": strconv.Itoa(e.StatsPort), judge.OperatorUsers: strconv.FormatBool(e.Users.Users != ""),
	}
}

// Static are the services of DFP_SERVICE_* variables.
func (c *Config) Static() []static.Service {
	return static.Services(c.Environ, static.Options{Separator: c.Separator, Networks: c.NetworkNames(), Protocol: c.Edge.DefaultProtocol})
}
