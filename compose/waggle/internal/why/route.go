package why

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/label"
	"github.com/wagglehq/waggle/pkg/picture"
	proxy "github.com/wagglehq/waggle/proxy/judge"
)

// Limits beyond which an instance is not believed.
const (
	awaySeconds   = 30
	behindSeconds = 15
)

// status is the worst that an instance of a component says of a service.
func (w *world) status(component string, svc catalog.Service) (picture.Status, bool) {
	var worst picture.Status
	found := false
	for _, s := range w.said[svc.ID] {
		if s.Component == component && (!found || badness(s.State) < badness(worst.State)) {
			worst, found = s, true
		}
	}
	return worst, found
}

// badness orders states, the worst first.
func badness(s catalog.State) int {
	return slices.Index([]catalog.State{catalog.StateRejected, catalog.StateDegraded, catalog.StateAccepted, catalog.StateApplied, catalog.StateIgnored}, s)
}

// trouble says why what a component says is not to be believed, empty if it is.
func (w *world) trouble(component string) (text, fix string) {
	all := w.Of(component)
	if len(all) == 0 {
		return component + " has not been heard of", "docker service ps " + w.fullName(component)
	}
	best := slices.MinFunc(all, func(a, b picture.Instance) int {
		return cmp.Or(cmp.Compare(a.Heard, b.Heard), cmp.Compare(a.Behind, b.Behind))
	})
	switch {
	case best.Heard > awaySeconds:
		return fmt.Sprintf("%s is away: it was last heard of %.0f s ago", component, best.Heard), "docker service ps " + w.fullName(component)
	case best.Behind > behindSeconds:
		return fmt.Sprintf("%s is behind: for %.0f s it has not taken up the newest catalog", component, best.Behind), "docker service logs " + w.fullName(component)
	}
	return "", ""
}

// fullName is what the component's service is called in the stack as it is delivered.
func (w *world) fullName(component string) string { return cmp.Or(w.Stack, "waggle") + "_" + component }

// isElsewhere reports whether a service asks for a route of another proxy.
func (w *world) isElsewhere(svc catalog.Service) bool { return w.routes[svc.ID].Elsewhere != "" }

func (w *world) route(svc catalog.Service) Rung {
	r := Rung{Rung: "route"}
	a, ok := w.routes[svc.ID]
	switch {
	case w.isElsewhere(svc):
		r.State = Broken
		r.Text = a.Reason
		r.Fix = "change or remove com.df.proxyInstanceName"
	case !ok, a.State == catalog.StateIgnored:
		r.State, r.Text = None, a.Reason
	case a.Cause == proxy.CauseTaken:
		r.State, r.Text, r.Fix = Broken, a.Reason, a.Hint
	case a.State == catalog.StateRejected && len(a.Routes)+len(a.Streams) == 0:
		r.State, r.Text = Wait, "none is in force until the labels and the network are right"
	case len(a.Shadowed) > 0:
		r.State, r.Text, r.Fix = Broken, "no request reaches "+strings.Join(a.Shadowed, "; "), "another path or domain, or com.df.aclName to order the services"
	default:
		r.State, r.Text = OK, ways(a)
		if a.State == catalog.StateRejected {
			r.Text += " (as last accepted)"
		}
	}
	return r
}

// ways says in one line where requests come in.
func ways(a proxy.Answer) string {
	var out []string
	for _, r := range a.Routes {
		hosts := r.Hosts
		if len(hosts) == 0 {
			hosts = []string{"any host, "}
		}
		for _, h := range hosts {
			for _, p := range cmpSlice(r.Paths, "/") {
				out = append(out, h+p)
			}
		}
	}
	for _, s := range a.Streams {
		out = append(out, fmt.Sprintf("port %d %s", s.Port, strings.Join(s.Names, " ")))
	}
	return strings.Join(out, ", ")
}

func cmpSlice(list []string, usual string) []string {
	if len(list) == 0 {
		return []string{usual}
	}
	return list
}

// isCertificate reports whether a status is about certificates that a service asks for.
func isCertificate(full string) bool {
	name, ok := strings.CutPrefix(full, catalog.Prefix)
	return ok && (strings.HasPrefix(name, "acme") || strings.HasPrefix(name, "letsencrypt."))
}

// uncertified is what is said of the certificate for a host that is not obtained, and what would
// be right; both are empty if nothing is said.
func (w *world) uncertified(host string) (text, fix string) {
	for _, s := range w.Statuses {
		if s.State != catalog.StateDegraded || !isCertificate(s.Label) || s.Earlier {
			continue
		}
		for _, said := range append([]string{s.Reason}, s.Warnings...) {
			if slices.Contains(strings.FieldsFunc(said, func(r rune) bool { return r == ' ' || r == ':' || r == ',' }), host) {
				return "; " + said, s.Hint
			}
		}
	}
	return "", ""
}

func (w *world) applied(svc catalog.Service) Rung {
	r := Rung{Rung: "applied", State: OK, Text: "in force in the proxy"}
	if !w.asksRoute(svc) || w.isElsewhere(svc) {
		return Rung{"applied", None, "", ""}
	}
	a := w.routes[svc.ID]
	status, known := w.status("proxy", svc)
	trouble, fix := w.trouble("proxy")
	secret := w.missingSecret(svc)
	switch {
	case trouble != "":
		r.State, r.Text, r.Fix = Broken, trouble, fix
	case secret != "":
		r.State, r.Text = Broken, "there is no secret "+secret+", which the labels name: nobody gets in"
		r.Fix = "docker secret create " + secret + ", and give it to the proxy"
	case !known || status.Earlier:
		r.State, r.Text = Wait, "the proxy has not answered yet about the present labels"
	case status.State == catalog.StateRejected && status.Label == "" && a.State != catalog.StateRejected:
		r.State, r.Text, r.Fix = Broken, status.Reason, cmp.Or(status.Hint, "docker service logs "+w.fullName("proxy"))
	case status.State == catalog.StateRejected && a.State == catalog.StateRejected && len(a.Routes)+len(a.Streams) == 0:
		r.State, r.Text = Wait, "nothing of it is in force"
	case status.State == catalog.StateDegraded && isCertificate(status.Label) && len(a.Uncertified) == 0:
		r.State, r.Text, r.Fix = Warn, "in force in the proxy, but "+status.Reason, status.Hint
		if len(status.Warnings) > 0 {
			r.Text += "; " + strings.Join(status.Warnings, "; ")
		}
	case status.State == catalog.StateAccepted:
		r.State, r.Text = Wait, cmp.Or(status.Reason, "the proxy is about to apply it")
	}
	return r
}

// usersSecrets begins the names of the secrets that com.df.usersSecret names.
const usersSecrets = "dfp_users_"

// missingSecret is the name of a secret that labels name and that is not there.
func (w *world) missingSecret(svc catalog.Service) string {
	if w.Secrets == nil {
		return ""
	}
	for full, text := range svc.Labels {
		if name, _ := label.SplitIndex(full); name == catalog.Prefix+"usersSecret" && !slices.Contains(w.Secrets, usersSecrets+text) {
			return usersSecrets + text
		}
	}
	return ""
}
