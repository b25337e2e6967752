// Package scaling is what several components know of scaling: the labels by which a service
// names its load, which the monitor measures and the scaler follows, and the recording rule
// that carries it from the one to the other. It is pure.
package scaling

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/wagglehq/waggle/pkg/label"
)

// The labels, without prefix. A service asks to be scaled by Min or Max; without one of
// them the others mean nothing.
const (
	Min    = "scaleMin"
	Max    = "scaleMax"
	Metric = "scaleMetric"
	Target = "scaleTarget"
)

// The recording rule: one series for each service that names its load, with the service's
// ID, whose value is load / target.
const (
	Wanted   = "waggle:replicas_wanted"
	WantedID = "service_id"
)

// Source is where the load of a service is measured.
type Source string

// The sources. All but Expression are written as they stand here.
const (
	// Requests are those per second at the proxy.
	Requests Source = "@requests"
	// Concurrency is how many requests are open at the proxy.
	Concurrency Source = "@concurrency"
	// CPU is how many seconds per second its containers compute.
	CPU Source = "@cpu"
	// Expression is PromQL.
	Expression Source = "expression"
)

// Load is what the labels of a service say of its load; the zero value says nothing.
type Load struct {
	Source Source
	// Expr is the text of an Expression. Whether it is PromQL is for the monitor to say.
	Expr string
	// Target is how much one replica takes.
	Target float64
}

// Set reports whether a service names its load.
func (l Load) Set() bool { return l.Source != "" }

// Labels describes the labels of a load.
func Labels() []label.Spec {
	return []label.Spec{
		{
			Name: Metric, Task: "Scaling", Example: "scaleMetric=@requests\nscaleTarget=100\nscaleMax=10", Kind: "PromQL, or @requests, @concurrency, @cpu", Default: "none",
			Doc: "What the load of the whole service is: requests per second or open requests at the proxy, CPU seconds per second of its containers, or any expression with one value, which may stand on several lines. Requests and CPU seconds are averaged over a minute, or over four scrapes if that is longer. Needs scaleTarget, and scaleMin or scaleMax.",
		},
		{
			Name: Target, Task: "Scaling", Example: "scaleTarget=100\nscaleMetric=@requests\nscaleMax=10", Kind: "number above 0, such as 100 or 0.5", Default: "none",
			Doc: "How much of scaleMetric one replica takes. The number wanted is load / target, rounded up; as long as that is within a tenth of the present number, nothing changes.",
		},
	}
}

// Read reads the load from the labels of a service. Its faults are the group's.
func Read(g label.Group) Load {
	switch {
	case g.Has(Metric) && !g.Has(Target):
		g.Reject(Metric, "it together with scaleTarget: how much of it one replica takes")
		return Load{}
	case g.Has(Target) && !g.Has(Metric):
		g.Reject(Target, "it together with scaleMetric: what the load is")
		return Load{}
	case !g.Has(Metric):
		return Load{}
	}
	l := Load{Source: source(g), Target: target(g)}
	if l.Source == Expression {
		l.Expr = strings.TrimSpace(g.Block(Metric, ""))
	}
	if l.Source == "" || l.Target == 0 {
		return Load{}
	}
	return l
}

func source(g label.Group) Source {
	text := strings.TrimSpace(g.Block(Metric, ""))
	if !strings.HasPrefix(text, "@") {
		if text == "" {
			return "" // Block has said what is wrong
		}
		return Expression
	}
	for _, s := range []Source{Requests, Concurrency, CPU} {
		if strings.EqualFold(text, string(s)) {
			return s
		}
	}
	g.Reject(Metric, fmt.Sprintf("%s, %s, %s or PromQL", Requests, Concurrency, CPU))
	return ""
}

func target(g label.Group) float64 {
	text := strings.TrimSpace(g.Text(Target, ""))
	n, err := strconv.ParseFloat(text, 64)
	// What a person means by a number is written with digits: neither Inf nor 0x1p-2.
	if err != nil || n <= 0 || math.IsInf(n, 0) || math.IsNaN(n) || strings.ContainsAny(text, "xXpP_") {
		g.Reject(Target, "a number above 0, such as 100 or 0.5")
		return 0
	}
	return n
}
