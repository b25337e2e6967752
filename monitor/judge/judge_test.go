package judge_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/wagglehq/waggle/monitor/judge"
	"github.com/wagglehq/waggle/pkg/catalog"
)

// question is about services that are told as "STACK_NAME LABEL=TEXT ...", each younger than
// the one before and with one task.
func question(services ...string) judge.Question {
	q := judge.Question{Snapshot: catalog.Snapshot{Services: map[string]catalog.Service{}, Tasks: map[string][]catalog.Task{}}}
	for i, line := range services {
		words := strings.Fields(line)
		stack, _, _ := strings.Cut(words[0], "_")
		svc := catalog.Service{
			ID: words[0], Name: words[0], Stack: stack, Mode: catalog.Replicated, Replicas: 1, Networks: []string{"waggle"},
			CreatedAt: time.Unix(int64(i), 0), Labels: map[string]string{catalog.Notify: "true"},
		}
		for _, word := range words[1:] {
			key, text, _ := strings.Cut(word, "=")
			svc.Labels[catalog.Prefix+key] = text
		}
		q.Snapshot.Services[svc.ID] = svc
		q.Snapshot.Tasks[svc.ID] = []catalog.Task{{ID: "t", State: "running", Desired: "running", Addresses: map[string][]string{"waggle": {fmt.Sprintf("10.0.0.%d", i+1)}}}}
	}
	return q
}

// overTen is a shortcut of an operator's as it stands in a file.
const overTen = "'@queue_over': {expanded: 'queue > {{index .Values 0}}'}"

func TestWhatBecomesOfServices(t *testing.T) {
	for _, c := range []struct {
		name     string
		services []string
		settings map[string]string
		// want is "NAME STATE LABEL JOB RULES" of each that asks for something.
		want string
	}{
		{"a job and an alert", []string{"shop_web scrapePort=80 scrapeInterval=30s alertName=a alertIf=up<1"}, nil,
			"shop_web accepted  shop_web/metrics@30s[10.0.0.1:80] shop_web_a=up<1"},
		{"a bad alert beside a good job", []string{"shop_web scrapePort=80 alertName=a alertIf=up<"}, nil,
			"shop_web degraded com.df.alertIf shop_web/metrics@10s[10.0.0.1:80] "},
		{"another network", []string{"shop_web scrapePort=80"}, map[string]string{judge.Network: "metrics, other"}, "shop_web rejected   "},
		{"another interval", []string{"shop_web scrapePort=80"}, map[string]string{judge.ScrapeInterval: "5s"}, "shop_web accepted  shop_web/metrics@5s[10.0.0.1:80] "},
		{"a range too short for it", []string{"shop_web scrapePort=80 alertName=a alertIf=@resp_time_server_error:30s,0.1"}, map[string]string{judge.ScrapeInterval: "20s"},
			"shop_web degraded com.df.alertIf shop_web/metrics@20s[10.0.0.1:80] "},
		{"an alert that scales another stack", []string{"shop_web", "evil_web alertName=a alertIf=up<1 alertLabels=scale=up,service=shop_web"}, nil, "evil_web rejected com.df.alertLabels  "},
		{"where that is allowed", []string{"shop_web", "evil_web alertName=a alertIf=up<1 alertLabels=scale=up,service=shop_web"},
			map[string]string{judge.ScaleAcrossStacks: "true"}, "evil_web accepted   evil_web_a=up<1"},
		{"a function that is experimental", []string{"shop_web alertName=a alertIf=mad_over_time(up[5m])"}, nil, "shop_web rejected com.df.alertIf  "},
		{"where Prometheus has it", []string{"shop_web alertName=a alertIf=mad_over_time(up[5m])"}, map[string]string{judge.Features: "promql-experimental-functions"},
			"shop_web accepted   shop_web_a=mad_over_time(up[5m])"},
		{"a shortcut that nobody knows", []string{"shop_web alertName=a alertIf=@queue_over:10"}, nil, "shop_web rejected com.df.alertIf  "},
		{"one of the operator's own", []string{"shop_web alertName=a alertIf=@queue_over:10"}, map[string]string{judge.OwnShortcuts: "@queue_over, @other"},
			"shop_web accepted   shop_web_a=vector(0)"},
		{"one of which more is known than its name", []string{"shop_web alertName=a alertIf=@queue_over:10"}, map[string]string{judge.OwnShortcuts: overTen},
			`shop_web accepted   shop_web_a=queue > 10`},
		{"one without the value that it takes", []string{"shop_web alertName=a alertIf=@queue_over"}, map[string]string{judge.OwnShortcuts: overTen}, "shop_web rejected com.df.alertIf  "},
		{"labels without effect", []string{"shop_web metricsPath=/m"}, nil, "shop_web ignored   "},
		{"the name of a job of Waggle's", []string{"x_bees_proxy shortName=true scrapePort=80"}, map[string]string{judge.OwnStack: "bees"}, "x_bees_proxy rejected com.df.shortName  "},
		{"which it is not elsewhere", []string{"x_bees_proxy shortName=true scrapePort=80"}, nil, "x_bees_proxy accepted  bees_proxy/metrics@10s[10.0.0.1:80] "},
	} {
		t.Run(c.name, func(t *testing.T) {
			q := question(c.services...)
			q.Settings = c.settings
			answers, err := judge.Services(q)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, a := range answers {
				job, rules := "", []string{}
				for _, j := range a.Jobs {
					job = fmt.Sprintf("%s%s@%s%v", j.Name, j.Path, j.Interval, j.Targets)
				}
				for _, r := range a.Rules {
					rules = append(rules, r.Name+"="+r.Expr)
					if r.Labels["owner"] != a.Service {
						t.Error("without an owner", r)
					}
				}
				got = append(got, fmt.Sprintf("%s %s %s %s %s", a.Service, a.State, a.Label, job, strings.Join(rules, ",")))
				if a.Component != "monitor" || a.State != catalog.StateAccepted && a.Reason == "" {
					t.Errorf("%+v", a)
				}
			}
			if text := strings.Join(got, "\n"); text != c.want {
				t.Errorf("got\n%s\nwant\n%s", text, c.want)
			}
		})
	}
}

// TestWhatWasAcceptedStays in force while the present labels are at fault.
func TestWhatWasAcceptedStays(t *testing.T) {
	q := question("shop_web alertName=a alertIf=up<")
	q.Accepted = question("shop_web alertName=a alertIf=up<1").Snapshot.Services
	answers, err := judge.Services(q)
	if err != nil || len(answers) != 1 || answers[0].State != catalog.StateRejected || len(answers[0].Rules) != 1 || answers[0].Rules[0].Expr != "up<1" {
		t.Fatalf("%+v %v", answers, err)
	}
}

func TestASettingAtFaultIsNamed(t *testing.T) {
	for name, text := range map[string]string{judge.Network: " , ", judge.ScrapeInterval: "0s", judge.ScrapeTimeout: "soon", judge.ScaleAcrossStacks: "maybe"} {
		q := question("shop_web scrapePort=80")
		q.Settings = map[string]string{name: text}
		if _, err := judge.Services(q); err == nil || !strings.HasPrefix(err.Error(), name) {
			t.Errorf("%s=%q: %v", name, text, err)
		}
	}
}
