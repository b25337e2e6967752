package judge

import (
	"cmp"
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/wagglehq/waggle/proxy/internal/settings/edge"
	"github.com/wagglehq/waggle/proxy/internal/wish/names"
	"github.com/wagglehq/waggle/proxy/internal/wish/outbound"
	"github.com/wagglehq/waggle/proxy/internal/wish/route/claims"
	"github.com/wagglehq/waggle/proxy/internal/wish/route/labels"
	"github.com/wagglehq/waggle/proxy/internal/wish/route/owners"
	"github.com/wagglehq/waggle/proxy/internal/wish/static"
)

// The settings by which labels are judged have the names of their flags, but for those that say
// only whether there is something: a secret, what lies on disks, and who obtains certificates.
const (
	// OperatorUsers is true if the operator says who gets into services that do not.
	OperatorUsers = "operator-users"
	// Certificates is true if the proxy has certificates beside those of labels.
	Certificates = "certificates"
	// Obtains is true if the proxy obtains certificates, and answers the questions of
	// authorities.
	Obtains = "obtains-certificates"
)

// Facts are the settings that say only whether there is something: no flag has their names.
func Facts() []string { return []string{OperatorUsers, Certificates, Obtains} }

// The defaults of those settings, for the proxy's flags too.
const (
	DefaultPorts     = "80,443:ssl"
	DefaultStatsPort = 8404
	DefaultNetworks  = "waggle"
	DefaultSeparator = ","
	DefaultReqMode   = "http"
	// DefaultLabelBudget is what all services together may ask for, once.
	DefaultLabelBudget = 1
)

// Rules are what labels are judged by.
type Rules struct {
	Options labels.Options
	// SecurePorts are those on which the proxy speaks TLS while there are certificates.
	SecurePorts []int
	// Owners are nil if hosts belong to nobody.
	Owners *owners.Owners
	// Names say for which hosts certificates are obtained.
	Names names.Rules
}

// Settler returns one that judges by the rules.
func (r Rules) Settler() *claims.Settler {
	s := claims.NewSettler(r.Options)
	s.Own(r.Owners, r.SecurePorts)
	return s
}

// Reserved are the ports that no service gets anew: those with TLS, while there are
// certificates anywhere. It must not depend on what one replica has applied.
func (r Rules) Reserved(certificates bool) []int {
	if certificates {
		return r.SecurePorts
	}
	return nil
}

// InUse reports whether an instance with these settings has certificates.
func InUse(settings map[string]string) bool { return settings[Certificates] == "true" }

// ParseRules reads the settings that the proxy publishes.
func ParseRules(settings map[string]string) (Rules, error) {
	p := parser{settings: settings}
	o := labels.Options{
		Separator: p.text("separator", DefaultSeparator), Networks: strings.FieldsFunc(p.text("networks", DefaultNetworks), commaOrSpace),
		DomainAlgo: p.text("service-domain-algo", labels.DefaultDomainAlgo), HTTPSOnly: p.is("https-only"), AllowRaw: p.is("allow-raw"),
		ReqMode: p.text("default-req-mode", DefaultReqMode), OperatorUsers: p.is(OperatorUsers), Ports: []int{p.number("stats-port", strconv.Itoa(DefaultStatsPort))},
		Operators: static.IDPrefix,
	}
	o.Budget = p.number("label-budget", strconv.Itoa(DefaultLabelBudget))
	if p.is("filter-proxy-instance-name") {
		o.Instance = p.text("proxy-instance-name", labels.DefaultInstance)
	}
	var err error
	if o.Outbound, err = outbound.Parse(p.text("outbound", "")); err != nil {
		return Rules{}, fmt.Errorf("outbound: %w", err)
	}
	binds, err := edge.ParseBinds(p.text("default-ports", DefaultPorts) + "," + p.text("bind-ports", ""))
	if err != nil {
		return Rules{}, fmt.Errorf("default-ports and bind-ports: %w", err)
	}
	rules := Rules{Options: o, Names: names.Rules{
		On: p.is(Obtains), All: p.text("acme", "") == names.ForAll, Challenge: p.text("acme-challenge", names.HTTP), CanDNS: p.text("acme-dns", "") != "",
	}}
	if rules.Owners, err = owners.Parse(p.text("owners", "")); err != nil {
		return Rules{}, fmt.Errorf("owners: %w", err)
	}
	for _, b := range binds {
		rules.Options.EntryPorts = append(rules.Options.EntryPorts, b.Port)
		if b.TLS {
			rules.SecurePorts = append(rules.SecurePorts, b.Port)
		} else {
			rules.Options.PlainPorts = append(rules.Options.PlainPorts, b.Port)
		}
		if !b.TLS || p.text("crt-list-path", "") != "" {
			rules.Options.Ports = append(rules.Options.Ports, b.Port)
		}
	}
	if _, port, err := net.SplitHostPort(p.text("admin", ":8080")); err == nil {
		if n, err := strconv.Atoi(port); err == nil {
			rules.Options.Ports = append(rules.Options.Ports, n)
		}
	}
	return rules, p.err
}

func commaOrSpace(r rune) bool { return r == ',' || r == ' ' }

// parser reads settings and keeps the first error.
type parser struct {
	settings map[string]string
	err      error
}

func (p *parser) text(name, usual string) string {
	if text, ok := p.settings[name]; ok {
		return text
	}
	return usual
}

func (p *parser) is(name string) bool {
	b, err := strconv.ParseBool(p.text(name, "false"))
	p.failed(name, "true or false", err)
	return b
}

func (p *parser) number(name, usual string) int {
	n, err := strconv.Atoi(p.text(name, usual))
	p.failed(name, "a number", err)
	return n
}

func (p *parser) failed(name, want string, err error) {
	if err != nil {
		p.err = cmp.Or(p.err, fmt.Errorf("%s: %q: want %s", name, p.settings[name], want))
	}
}
