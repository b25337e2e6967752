package alert

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/label"
	"github.com/wagglehq/waggle/pkg/scaling"
)

// Wanted returns the recording rule by which the scaler learns how many replicas a service
// wants, if its labels name its load. Of the Alert that comes back the Index means nothing.
func Wanted(svc catalog.Service, about About) (Alert, bool) {
	r := label.NewReader(catalog.Prefix, svc.Labels, scaling.Labels(), "")
	g := r.Service()
	if !g.Has(scaling.Metric) && !g.Has(scaling.Target) {
		return Alert{}, false
	}
	s := about.of(svc)
	load := scaling.Read(g)
	rule := Rule{
		ServiceID: svc.ID, Service: svc.Name, Name: scaling.Wanted, Record: true,
		Labels: map[string]string{OwnerLabel: svc.Name, scaling.WantedID: svc.ID},
	}
	a := Alert{Rule: rule}
	if load.Set() {
		expr, err := measured(load, s)
		switch {
		case err != nil:
			g.Reject(scaling.Metric, err.Error())
		case load.Source == scaling.Expression:
			for _, doubt := range doubts(clause{parsed: expr, raw: true}, s) {
				a.Warnings = append(a.Warnings, g.Label(scaling.Metric)+": "+doubt)
			}
		}
		if err == nil {
			a.Rule.Expr = perReplica(expr, load.Target)
		}
	}
	if all := faults(r); len(all) > 0 {
		a.Err = all
	}
	return a, true
}

// shortestRange is that over which a load is averaged; where samples are rare, it holds
// four of them.
const shortestRange = time.Minute

// measured is the load as PromQL. Its error says what would be right.
func measured(load scaling.Load, s subject) (parser.Expr, error) {
	switch load.Source {
	case scaling.Requests:
		return compared(fmt.Sprintf("@request_rate:%s,0", averaged(s.proxies.Interval)), load, s)
	case scaling.Concurrency:
		return compared("@concurrency:0", load, s)
	case scaling.CPU:
		// A container counts once, however many cAdvisors are asked for it; where it is told
		// for each core, the cores are added.
		return s.parse(fmt.Sprintf("sum(max by (container_label_com_docker_swarm_task_id, name, cpu) (rate(container_cpu_usage_seconds_total{container_label_com_docker_swarm_service_name=%s}[%s])))",
			strconv.Quote(s.service), averaged(s.every)))
	}
	e, err := s.parse(load.Expr)
	if err != nil {
		return nil, fmt.Errorf("PromQL: %w%s", err, cure(load.Expr, err))
	}
	if t := e.Type(); t != parser.ValueTypeVector && t != parser.ValueTypeScalar {
		return nil, fmt.Errorf("PromQL that gives one value, not a %s", t)
	}
	return e, nil
}

// averaged is the range over which a rate is taken of what is scraped so often.
func averaged(every time.Duration) model.Duration {
	return model.Duration(max(shortestRange, 4*every))
}

// compared is what one of our own shortcuts compares with its value, so that an alert and a
// load of the same name are measured in the same way.
func compared(shortcut string, load scaling.Load, s subject) (parser.Expr, error) {
	if s.proxies.Job == "" {
		return nil, errors.New("another load than " + string(load.Source) + ", " + unscraped)
	}
	c, err := standard.single(shortcut, s)
	if err != nil {
		return nil, err
	}
	e, err := s.parse(c.expr)
	if err != nil {
		return nil, err
	}
	comparison, ok := e.(*parser.BinaryExpr)
	if !ok {
		return nil, fmt.Errorf("a load of one value, not %s", c.expr)
	}
	return comparison.LHS, nil
}

// perReplica divides a load by what one replica takes. The result is one series without
// labels: if the load has more, the evaluation fails, and whoever asked for it is told.
func perReplica(load parser.Expr, target float64) string {
	one := "vector(" + strconv.FormatFloat(target, 'g', -1, 64) + ")"
	if load.Type() == parser.ValueTypeScalar {
		return "vector(" + load.String() + ") / on () " + one
	}
	return "(" + load.String() + ") / on () " + one
}

// Several reports whether the words with which Prometheus gives up on a rule mean that a load
// has more than one series.
func (r Rule) Several(why string) bool {
	return r.Load() && slices.ContainsFunc([]string{"many-to-one", "many-to-many", "duplicate series"}, func(s string) bool { return strings.Contains(why, s) })
}
