package why

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/picture"
)

// Overview is how Waggle and its services are.
type Overview struct {
	Bus        string      `json:"bus"`
	Failure    string      `json:"failure"`
	Components []Component `json:"components"`
	Services   []Line      `json:"services"`
	Warnings   []string    `json:"warnings"`
}

// Component is how the instances of one component are; of several the best counts.
type Component struct {
	Component string  `json:"component"`
	Instances int     `json:"instances"`
	Heard     float64 `json:"heard_s"`
	Behind    float64 `json:"behind_s"`
	// Trouble says why what it says is not to be believed, empty if it is.
	Trouble string `json:"-"`
}

// Line is the worst that is said of a service, and who says it.
type Line struct {
	Service   string        `json:"service"`
	State     catalog.State `json:"state"`
	Component string        `json:"component"`
	Reason    string        `json:"reason"`
	Since     float64       `json:"since_s"`
}

// Faulty reports whether something is wrong.
func (o Overview) Faulty() bool {
	return o.Bus != picture.Connected || o.Failure != "" ||
		slices.ContainsFunc(o.Components, func(c Component) bool { return c.Trouble != "" }) ||
		slices.ContainsFunc(o.Services, func(s Line) bool {
			return s.State == catalog.StateRejected || s.State == catalog.StateDegraded
		})
}

// Status is the overview of a picture.
func Status(p picture.Picture) (Overview, error) {
	w, err := judged(p)
	if err != nil {
		return Overview{}, err
	}
	return w.overview(), nil
}

func (w *world) overview() Overview {
	p := w.Picture
	o := Overview{Bus: p.Bus, Failure: p.Failure, Components: []Component{}, Services: []Line{}, Warnings: w.neighbours()}
	for _, name := range []string{"listener", "proxy", "monitor", "scaler"} {
		c := Component{Component: name}
		c.Trouble, _ = w.trouble(name)
		for i, one := range p.Of(name) {
			if c.Instances++; i == 0 || one.Heard < c.Heard {
				c.Heard, c.Behind = one.Heard, one.Behind
			}
		}
		o.Components = append(o.Components, c)
	}
	for _, svc := range p.Services {
		if len(svc.Labels)+len(svc.ContainerLabels)+len(svc.Withheld) > 0 || svc.Oversize > 0 {
			o.Services = append(o.Services, w.worst(svc))
		}
	}
	slices.SortStableFunc(o.Services, func(a, b Line) int {
		return cmp.Or(cmp.Compare(badness(a.State), badness(b.State)), cmp.Compare(a.Service, b.Service))
	})
	return o
}

// worst is the worst that is said of a service; of what nobody has answered yet the
// listener's word counts.
func (w *world) worst(svc catalog.Service) Line {
	a := w.placed[svc.ID]
	out := Line{Service: svc.Name, State: a.State, Component: "listener", Reason: a.Reason}
	first := a.State != catalog.StateRejected && svc.OptedIn()
	for _, s := range w.said[svc.ID] {
		if s.Component == "listener" {
			continue
		}
		if first || badness(s.State) < badness(out.State) {
			first = false
			out = Line{Service: svc.Name, State: s.State, Component: s.Component, Reason: s.Reason}
			if !s.Since.IsZero() {
				out.Since = max(0, w.Time.Sub(s.Since).Seconds()) // clocks differ
			}
		}
	}
	return out
}

// neighbours warns of what reads the same labels or does the same work.
func (w *world) neighbours() []string {
	out := []string{}
	own := map[string]bool{}
	for _, svc := range w.Services {
		if svc.Stack != "" && svc.Stack == w.Stack {
			own[repository(svc.Image)] = true
		}
	}
	for _, svc := range w.Services {
		image := repository(svc.Image)
		name := image[strings.LastIndexByte(image, '/')+1:]
		switch {
		case slices.Contains([]string{"docker-flow-proxy", "docker-flow-swarm-listener", "docker-flow-monitor", "docker-scaler"}, name):
			out = append(out, fmt.Sprintf("%s is a %s of Docker Flow%s: it reads the same labels", svc.Name, name, published(svc)))
		case svc.Stack != w.Stack && own[image]:
			out = append(out, fmt.Sprintf("%s runs %s, which is Waggle's own, in another stack%s", svc.Name, svc.Image, published(svc)))
		}
	}
	return out
}

// repository is an image without tag and digest.
func repository(image string) string {
	image, _, _ = strings.Cut(image, "@")
	if i := strings.LastIndexByte(image, ':'); i > strings.LastIndexByte(image, '/') {
		image = image[:i]
	}
	return image
}

func published(svc catalog.Service) string {
	if len(svc.Ports) == 0 {
		return ""
	}
	var out []string
	for _, p := range svc.Ports {
		out = append(out, fmt.Sprint(p.Published))
	}
	return " and publishes " + strings.Join(out, ", ")
}
