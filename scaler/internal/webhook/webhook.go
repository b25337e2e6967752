// Package webhook reads what Alertmanager's webhook and Docker Flow's
// scale-service request ask for. It is pure.
package webhook

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/alertmanager/template"
	"github.com/wagglehq/waggle/pkg/label"
	"github.com/wagglehq/waggle/scaler/internal/policy"
	"github.com/wagglehq/waggle/scaler/internal/signal"
)

// What may be wrong with a request. The first three texts are Docker Flow's.
var (
	ErrNoService      = errors.New("No service name in request")
	ErrNoDirection    = errors.New("No scale direction in request")
	ErrWrongDirection = errors.New("Incorrect scale direction in request")
	ErrNodes          = errors.New("Scaling of nodes is not supported: type can only be service")
	ErrWrongType      = errors.New("Incorrect type in request: type can only be service")
	ErrWrongBy        = errors.New("Incorrect by in request")
	ErrWrongSettle    = errors.New("Incorrect settle in annotations")
	ErrWrongTo        = errors.New("Incorrect to in request")
	ErrToAndBy        = errors.New("Incorrect request: to and by do not go together")
	ErrWrongForce     = errors.New("Incorrect force in request: force can only be true or false")
	ErrBody           = errors.New("Incorrect body in request")
)

// Ask is one thing that is asked for.
type Ask struct {
	// Service is the name as given.
	Service   string
	Direction signal.Direction
	// By is the step of a request by hand; 0 is that of the policy. Alerts carry their own.
	By uint64
	// To is the number that a person asks for, nil for a step.
	To *uint64 `json:",omitempty"`
	// Force is that of a request by hand.
	Force bool
	// Firing, Resolved and AllResolved are as in signal.News.
	Firing, Resolved []signal.Alert
	AllResolved      bool
}

// Fault is one thing that could not be understood.
type Fault struct {
	// Service is the name as given, "bad_request" without one.
	Service string
	// Direction is what was asked for, as far as it is known.
	Direction signal.Direction
	Err       error
}

// BadRequest stands for the service where a request names none.
const BadRequest = "bad_request"

// Error names what was wrong.
func (f *Fault) Error() string { return f.Err.Error() }

// Unwrap returns one of the errors above.
func (f *Fault) Unwrap() error { return f.Err }

// Request is a delivery taken apart.
type Request struct {
	// ByHand is true for a request that carries neither alerts nor a status: it has one Ask.
	ByHand bool
	// Asks are sorted by service and direction; Faults are the rest. Idle are the alerts that
	// ask for nothing.
	Asks   []Ask
	Faults []*Fault
	Idle   int
}

// message is Alertmanager's payload, version 4.
type message struct {
	template.Data
	// GroupLabels stands in front of that of Data, because a person may write by as a number.
	GroupLabels labels `json:"groupLabels"`
	GroupKey    string `json:"groupKey"`
}

// labels are texts; numbers are taken as the text that they are.
type labels map[string]string

// UnmarshalJSON takes texts and numbers; what else there is, is passed over.
func (l *labels) UnmarshalJSON(data []byte) error {
	var raw map[string]any
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	if err := d.Decode(&raw); err != nil {
		return err
	}
	*l = labels{}
	for name, v := range raw {
		switch v := v.(type) {
		case string:
			(*l)[name] = v
		case json.Number:
			(*l)[name] = v.String()
		}
	}
	return nil
}

// Parse reads a request. What stands in the query goes before the labels of an
// alert, those before the labels of its group. Only a body that is no JSON is an
// error, ErrBody.
func Parse(body []byte, query url.Values) (Request, error) {
	var m message
	if len(bytes.TrimSpace(body)) > 0 {
		if err := json.Unmarshal(body, &m); err != nil {
			return Request{}, fmt.Errorf("%w: %w", ErrBody, err)
		}
	}
	if m.Status == "" && len(m.Alerts) == 0 {
		return byHand(m, query), nil
	}
	alerts := m.Alerts
	// A delivery that tells its group alone speaks for all of it.
	whole := len(alerts) == 0
	if whole {
		alerts = template.Alerts{{Status: m.Status, Fingerprint: "group:" + hash(m.GroupLabels)}}
	}
	asks := map[string]*Ask{}
	var faults []*Fault
	told := map[string]bool{}
	idle := 0
	for _, a := range alerts {
		text := lookup(query, a.Labels, m.GroupLabels, m.CommonLabels)
		if asksNothing(text("scale")) || !isKnown(cmp.Or(a.Status, m.Status)) && text("service") != "" {
			idle++
			continue
		}
		one, by, fault := read(text)
		settle, err := settle(a.Annotations["settle"])
		if fault == nil && err != nil {
			fault = &Fault{Service: one.Service, Direction: one.Direction, Err: err}
		}
		if fault != nil {
			if id := fault.Service + "\x00" + fault.Error(); !told[id] {
				told[id] = true
				faults = append(faults, fault)
			}
			continue
		}
		key := one.Service + "\x00" + string(one.Direction)
		if asks[key] == nil {
			asks[key] = &one
		}
		asks[key].add(a, signal.Alert{Name: label.Show(a.Labels["alertname"], false), StartsAt: a.StartsAt, By: by, Settle: settle}, m.Status, whole)
	}
	out := Request{Faults: faults, Idle: idle}
	for _, key := range slices.Sorted(maps.Keys(asks)) {
		out.Asks = append(out.Asks, *asks[key])
	}
	return out, nil
}

// longest is how long a fingerprint may be. Alertmanager's has 16 characters.
const longest = 64

func (ask *Ask) add(a template.Alert, one signal.Alert, status string, whole bool) {
	one.Fingerprint = a.Fingerprint
	switch {
	case one.Fingerprint == "":
		one.Fingerprint = "labels:" + hash(a.Labels)
	case len(one.Fingerprint) > longest:
		one.Fingerprint = "long:" + hash(map[string]string{"": one.Fingerprint})
	}
	if a.Status != "" {
		status = a.Status
	}
	switch {
	case status == "firing":
		ask.Firing = append(ask.Firing, one)
	case whole:
		ask.AllResolved = true
	default:
		ask.Resolved = append(ask.Resolved, one)
	}
}

// asksNothing reports whether a word is there that is no direction.
func asksNothing(scale string) bool {
	d := signal.Direction(strings.ToLower(strings.TrimSpace(scale)))
	return d != "" && d != signal.Up && d != signal.Down
}

// isKnown reports whether a status is one of Alertmanager's.
func isKnown(status string) bool { return status == "firing" || status == "resolved" }

func byHand(m message, query url.Values) Request {
	text := lookup(query, m.GroupLabels, m.CommonLabels)
	to := strings.TrimSpace(text("to"))
	if to != "" {
		// The number says where it leads.
		text = without(text, "scale")
	}
	ask, by, fault := read(text)
	if fault == nil && to != "" {
		fault = ask.number(to, by)
	}
	if fault != nil {
		return Request{ByHand: true, Faults: []*Fault{fault}}
	}
	ask.By = by
	if text := query.Get("force"); text != "" {
		var err error
		if ask.Force, err = strconv.ParseBool(text); err != nil {
			return Request{ByHand: true, Faults: []*Fault{{Service: ask.Service, Direction: ask.Direction, Err: ErrWrongForce}}}
		}
	}
	return Request{ByHand: true, Asks: []Ask{ask}}
}

// without is a lookup that has any direction for one name.
func without(text func(string) string, name string) func(string) string {
	return func(asked string) string {
		if asked == name {
			return string(signal.Up)
		}
		return text(asked)
	}
}

// number makes an ask one for a number. Beside a step it is a fault.
func (ask *Ask) number(text string, by uint64) *Fault {
	n, err := strconv.ParseUint(text, 10, 64)
	switch {
	case err != nil && !errors.Is(err, strconv.ErrRange): // which is a number all the same
		err = fmt.Errorf("%w: %q is not a whole number, 0 or more", ErrWrongTo, label.Show(text, false))
	case by > 0:
		err = ErrToAndBy
	default:
		n = min(n, policy.Most+1)
		ask.To, ask.Direction = &n, ""
		return nil
	}
	return &Fault{Service: ask.Service, Err: err}
}

// lookup returns the first text that is given under a name, query first.
func lookup[M ~map[string]string](query url.Values, first M, rest ...map[string]string) func(string) string {
	return func(name string) string {
		if text := query.Get(name); text != "" {
			return text
		}
		if text := first[name]; text != "" {
			return text
		}
		for _, l := range rest {
			if text := l[name]; text != "" {
				return text
			}
		}
		return ""
	}
}

// read reads one thing that is asked for, without its alerts.
func read(text func(string) string) (Ask, uint64, *Fault) {
	ask := Ask{Service: strings.TrimSpace(text("service")), Direction: signal.Direction(strings.ToLower(strings.TrimSpace(text("scale"))))}
	fault := func(err error) (Ask, uint64, *Fault) {
		f := &Fault{Service: ask.Service, Err: err}
		if ask.Direction == signal.Up || ask.Direction == signal.Down {
			f.Direction = ask.Direction
		}
		if f.Service == "" {
			f.Service = BadRequest
		}
		return Ask{}, 0, f
	}
	switch kind := text("type"); kind {
	case "", "service":
	case "node", "worker", "manager":
		return fault(ErrNodes)
	default:
		return fault(fmt.Errorf("%w, not %q", ErrWrongType, label.Show(kind, false)))
	}
	switch {
	case ask.Service == "":
		return fault(ErrNoService)
	case ask.Direction == "":
		return fault(ErrNoDirection)
	case ask.Direction != signal.Up && ask.Direction != signal.Down:
		return fault(ErrWrongDirection)
	}
	by, err := step(text("by"))
	if err != nil {
		return fault(err)
	}
	return ask, by, nil
}

// step reads a step. A negative one means its size, as with Docker Flow: the
// direction is said elsewhere.
func step(text string) (uint64, error) {
	text = strings.TrimSpace(text)
	if text == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	if n < 0 {
		n = -n
	}
	if err != nil || n < 0 || n > policy.Most {
		return 0, fmt.Errorf("%w: %q is not a whole number up to %d", ErrWrongBy, label.Show(text, false), policy.Most)
	}
	return uint64(n), nil
}

// settle reads how far back an alert looks: a time such as 1m, or seconds.
func settle(text string) (time.Duration, error) {
	text = strings.TrimSpace(text)
	if text == "" {
		return 0, nil
	}
	if _, err := strconv.Atoi(text); err == nil {
		text += "s"
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 || d > policy.MaxCooldown {
		return 0, fmt.Errorf("%w: %q is not a time such as 1m, up to %s", ErrWrongSettle, label.Show(text, false), policy.MaxCooldown)
	}
	return d, nil
}

// hash names an alert that brings no fingerprint.
func hash[M ~map[string]string](l M) string {
	h := fnv.New64a()
	for _, name := range slices.Sorted(maps.Keys(l)) {
		_, _ = fmt.Fprintf(h, "%q=%q,", name, l[name])
	}
	return strconv.FormatUint(h.Sum64(), 16)
}
