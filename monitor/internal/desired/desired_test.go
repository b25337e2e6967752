package desired

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wagglehq/waggle/monitor/internal/scrape"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/label"
)

var settings = Settings{
	Settings: scrape.Settings{Networks: []string{"waggle"}, Interval: 10 * time.Second, Timeout: 10 * time.Second},
	OwnStack: "waggle",
}

// swarm is a catalog whose services are told one per line: "NAME LABEL=TEXT ...",
// labels without prefix and "_" for a space in a text. Each is younger than the
// one before and has one task; what stands before "/" is its stack.
func swarm(lines ...string) catalog.Snapshot {
	s := catalog.Snapshot{Services: map[string]catalog.Service{}, Nodes: map[string]catalog.Node{"n": {ID: "n", Hostname: "one"}}, Tasks: map[string][]catalog.Task{}}
	for i, line := range lines {
		words := strings.Fields(line)
		stack, name, ok := strings.Cut(words[0], "/")
		if !ok {
			stack, name = "", words[0]
		} else {
			name = stack + "_" + name
		}
		svc := catalog.Service{
			ID: "id-" + name, Name: name, Stack: stack, Mode: catalog.Replicated, Replicas: 1, Networks: []string{"waggle"},
			CreatedAt: time.Unix(int64(i), 0), Labels: map[string]string{catalog.Notify: "true"},
		}
		for _, w := range words[1:] {
			key, text, _ := strings.Cut(w, "=")
			svc.Labels[catalog.Prefix+key] = strings.ReplaceAll(text, "~", " ")
		}
		s.Services[svc.ID] = svc
		s.Tasks[svc.ID] = []catalog.Task{{
			ID: "t", Node: "n", State: "running", Desired: "running",
			Addresses: map[string][]string{"waggle": {fmt.Sprintf("10.0.0.%d", i+1)}},
		}}
	}
	return s
}

// from computes the state, tells it as one line per service, and makes sure that
// computing it again from its own accepted labels changes nothing.
func from(t *testing.T, in Input) (State, string) {
	t.Helper()
	if in.Settings.Interval == 0 {
		in.Settings = settings
	}
	s, err := From(in)
	if err != nil {
		t.Fatal(err)
	}
	again := in
	again.Accepted = s.Accepted
	s2, err := From(again)
	if err != nil || s2.Hash != s.Hash || fmt.Sprint(s2.Accepted) != fmt.Sprint(s.Accepted) {
		t.Fatalf("not the same again: %v\n%s\n%s\n%v\n%v", err, s.RulesFile, s2.RulesFile, s.Accepted, s2.Accepted)
	}
	var lines []string
	for _, svc := range s.Services {
		line := svc.Name + ":"
		for _, target := range svc.Targets {
			line += " " + target.Address() + target.Labels["__metrics_path__"]
		}
		var rules []string
		for _, r := range svc.Rules {
			rules = append(rules, r.Name+"="+r.Expr)
		}
		slices.Sort(rules)
		line += " [" + strings.Join(rules, ", ") + "]"
		for _, f := range svc.Faults {
			what := "gone"
			if f.Kept {
				what = "kept"
			}
			line += " !" + f.Item + "(" + what + ")"
		}
		lines = append(lines, line)
	}
	return s, strings.Join(lines, "\n")
}

// accepted is what the labels of these services leave behind.
func accepted(t *testing.T, lines ...string) map[string]catalog.Service {
	t.Helper()
	s, _ := from(t, Input{Snapshot: swarm(lines...)})
	return s.Accepted
}

func TestWhatComesOut(t *testing.T) {
	for _, c := range []struct {
		name   string
		before []string // what was accepted
		now    []string
		want   string
	}{
		{
			"a job and two alerts", nil,
			[]string{"web scrapePort=80 metricsPath=/m alertName=a alertIf=up<1 alertName.2=b alertIf.2=up<2"},
			"web: 10.0.0.1:80/m [web_a=up<1, web_b=up<2]",
		},
		{
			"a service that asks for nothing is not there", nil,
			[]string{"web servicePath=/", "db"},
			"",
		},
		{
			"one bad alert is left out by name, everything else loads", nil,
			[]string{"web scrapePort=80 alertName.1=a alertIf.1=@nope:1 alertName.2=b alertIf.2=up<2", "db alertName=c alertIf=up<3"},
			"db: [db_c=up<3]\nweb: 10.0.0.1:80/metrics [web_b=up<2] !alert 1(gone)",
		},
		{
			"a bad job does not concern the alerts", nil,
			[]string{"web scrapePort=x alertName=a alertIf=up<1"},
			"web: [web_a=up<1] !scrape(gone)",
		},
		{
			"a bad alert keeps its last accepted form, the others move on",
			[]string{"web scrapePort=80 alertName.1=a alertIf.1=up<1 alertFor.1=5s alertName.2=b alertIf.2=up<2"},
			[]string{"web scrapePort=81 alertName.1=a alertIf.1=up< alertName.2=b alertIf.2=up<22"},
			"web: 10.0.0.1:81/metrics [web_a=up<1, web_b=up<22] !alert 1(kept)",
		},
		{
			"a bad job keeps its last accepted form",
			[]string{"web scrapePort=80 metricsPath=/m"},
			[]string{"web scrapePort=80 scrapeInterval=soon"},
			"web: 10.0.0.1:80/m [] !scrape(kept)",
		},
		{
			"a label that was removed takes its item with it",
			[]string{"web scrapePort=80 alertName.1=a alertIf.1=up<1 alertName.2=b alertIf.2=up<2"},
			[]string{"web alertName.2=b alertIf.2=up<2"},
			"web: [web_b=up<2]",
		},
		{
			"a service that was removed leaves nothing, persistent or not",
			[]string{"web alertName=a alertIf=up<1 alertPersistent=true"},
			[]string{"db alertName=c alertIf=up<3"},
			"db: [db_c=up<3]",
		},
		{
			"what was accepted of a service does not make up for its opting out",
			[]string{"web alertName=a alertIf=up<1"},
			[]string{"web notify=false alertName=a alertIf=up<1"},
			"",
		},
		{
			"names that begin alike are no concern of each other",
			[]string{"go-demo alertName=a alertIf=up<1", "go-demo-db alertName=a alertIf=up<1"},
			[]string{"go-demo alertName=b alertIf=up<2", "go-demo-db alertName=a alertIf=up<1"},
			"go-demo: [godemo_b=up<2]\ngo-demo-db: [godemodb_a=up<1]",
		},
		{
			"two services that make one rule name: the older keeps it", nil,
			[]string{"go-demo alertName=a alertIf=up<1", "godemo alertName=a alertIf=up<2 alertName.1=b alertIf.1=up<3"},
			"go-demo: [godemo_a=up<1]\ngodemo: [godemo_b=up<3] !alert(gone)",
		},
		{
			"the newcomer to a rule name keeps what it had",
			[]string{"go-demo alertName=a alertIf=up<1", "godemo alertName=b alertIf=up<2"},
			[]string{"go-demo alertName=a alertIf=up<1", "godemo alertName=a alertIf=up<2"},
			"go-demo: [godemo_a=up<1]\ngodemo: [godemo_b=up<2] !alert(kept)",
		},
		{
			"two alerts of one service with one name: the first keeps it", nil,
			[]string{"web alertName.1=a alertIf.1=up<1 alertName.2=a alertIf.2=up<2"},
			"web: [web_a=up<1] !alert 2(gone)",
		},
		{
			"two services called the same: the older is", nil,
			[]string{"one/web shortName=true scrapePort=80", "two/web shortName=true scrapePort=81 alertName=x alertIf=up<1"},
			"one_web: 10.0.0.1:80/metrics []\ntwo_web: [] !name(gone)",
		},
		{
			"a service that wants a name that is taken keeps its own",
			[]string{"one/web shortName=true scrapePort=80", "two/web scrapePort=81 alertName=x alertIf=up<1"},
			[]string{"one/web shortName=true scrapePort=80", "two/web shortName=true scrapePort=82 alertName=x alertIf=up<2"},
			"one_web: 10.0.0.1:80/metrics []\ntwo_web: 10.0.0.2:81/metrics [two_web_x=up<1] !name(kept)",
		},
		{
			"the loads of two services, beside an alert", nil,
			[]string{"db scaleMax=3 scaleMetric=b scaleTarget=2", "web scaleMax=3 scaleMetric=a scaleTarget=1 alertName=x alertIf=up<1"},
			"db: [waggle:replicas_wanted=(b) / on () vector(2)]\nweb: [waggle:replicas_wanted=(a) / on () vector(1), web_x=up<1]",
		},
		{
			"recording rules of two services with one name", nil,
			[]string{"db recordName=a:b recordExpr=up<1", "web recordName=a:b recordExpr=up<2 recordName.3=a:b recordExpr.3=up<3 recordLabels.3=x=1"},
			"db: [a:b=up<1]\nweb: [a:b=up<2, a:b=up<3]",
		},
		{
			"recording rules of one service that would make one series: the first does", nil,
			[]string{"web recordName=a:b recordExpr=up<2 recordName.3=a:b recordExpr.3=up<3"},
			"web: [a:b=up<2] !record 3(gone)",
		},
		{
			"a bad recording rule keeps its last accepted form",
			[]string{"web recordName=a:b recordExpr=up<1 alertName=x alertIf=up<1"},
			[]string{"web recordName=a:b recordExpr=up< alertName=x alertIf=up<2"},
			"web: [a:b=up<1, web_x=up<2] !record(kept)",
		},
		{
			"a bad limit concerns nothing else", nil,
			[]string{"web alertLimit=none alertName=x alertIf=up<1"},
			"web: [web_x=up<1] !limit(gone)",
		},
		{
			"a bad load is left out, and the alert is not concerned", nil,
			[]string{"web scaleMetric=sum( scaleTarget=1 alertName=x alertIf=up<1"},
			"web: [web_x=up<1] !load(gone)",
		},
		{
			"a bad load keeps its last accepted form",
			[]string{"web scaleMetric=a scaleTarget=1"},
			[]string{"web scaleMetric=a scaleTarget=much"},
			"web: [waggle:replicas_wanted=(a) / on () vector(1)] !load(kept)",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, got := from(t, Input{Snapshot: swarm(c.now...), Accepted: accepted(t, c.before...)}); strings.ReplaceAll(got, ":  [", ": [") != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}

func TestTheAcceptedLabelsAreThoseInForce(t *testing.T) {
	before := accepted(t, "web scrapePort=80 alertName.1=a alertIf.1=up<1 alertFor.1=5s")
	s, _ := from(t, Input{Snapshot: swarm("web scrapePort=81 alertName.1=a alertIf.1=up< alertFor.1=9s servicePath=/x"), Accepted: before})
	want := map[string]string{"com.df.scrapePort": "81", "com.df.alertName.1": "a", "com.df.alertIf.1": "up<1", "com.df.alertFor.1": "5s"}
	if got := s.Accepted["id-web"].Labels; !maps.Equal(got, want) {
		t.Fatalf("%v, want %v", got, want)
	}
}

func TestALoadThatTheCheckerRefusesIsToldAtItsLabel(t *testing.T) {
	in := Input{Snapshot: swarm("web scaleMetric=a scaleTarget=1", "db scaleMetric=a scaleTarget=1"), Refused: map[string]string{}}
	s, _ := from(t, in)
	in.Refused[s.Services[0].Rules[0].Key()] = "because"
	s, got := from(t, in)
	if got != "db: [] !load(gone)\nweb: [waggle:replicas_wanted=(a) / on () vector(1)]" {
		t.Fatal(got)
	}
	if f := label.First(s.Services[0].Faults[0].Err); f.Label != "com.df.scaleMetric" || !strings.Contains(f.Want, "because") {
		t.Fatal(f)
	}
}

func TestTheRuleNameOfTheOlderServiceIsNamed(t *testing.T) {
	s, _ := from(t, Input{Snapshot: swarm("go-demo alertName=a alertIf=up<1", "godemo alertName.4=a alertIf.4=up<2")})
	f := label.First(s.Services[1].Faults[0].Err)
	if f.Label != "com.df.alertName.4" || !strings.Contains(f.Want, "the older service go-demo") {
		t.Fatal(f)
	}
}

func TestARuleThatTheCheckerRefusesIsLeftOutOrKept(t *testing.T) {
	before := accepted(t, "web alertName=a alertIf=up<1")
	in := Input{Snapshot: swarm("web alertName=a alertIf=up<2", "db alertName=a alertIf=up<3"), Refused: map[string]string{}}
	s, _ := from(t, in)
	for _, r := range s.Rules {
		in.Refused[r.Key()] = "because"
	}
	in.Accepted = before
	s, got := from(t, in)
	if got != "db: [] !alert(gone)\nweb: [web_a=up<1] !alert(kept)" {
		t.Fatal(got)
	}
	if f := label.First(s.Services[0].Faults[0].Err); f.Label != "com.df.alertIf" || !strings.Contains(f.Want, "because") {
		t.Fatal(f)
	}
}

func TestAServiceScaledToZeroKeepsItsAlerts(t *testing.T) {
	snapshot := swarm("web scrapePort=80 alertName=a alertIf=@replicas_less_than")
	svc := snapshot.Services["id-web"]
	svc.Replicas = 0
	snapshot.Services["id-web"], snapshot.Tasks["id-web"] = svc, nil
	s, _ := from(t, Input{Snapshot: snapshot})
	if len(s.Rules) != 1 || !strings.HasSuffix(s.Rules[0].Expr, "< 0") || len(s.Targets) != 0 || len(s.Services[0].Faults) != 0 {
		t.Fatalf("%+v", s.Services)
	}
}

func TestAGlobalServiceShouldHaveATaskOnEachNode(t *testing.T) {
	snapshot := swarm("exp alertName=a alertIf=@replicas_running")
	svc := snapshot.Services["id-exp"]
	svc.Mode, svc.Replicas = catalog.Global, 0
	snapshot.Services["id-exp"] = svc
	snapshot.Tasks["id-exp"] = []catalog.Task{
		{ID: "1", Node: "n1", State: "running", Desired: "running"}, {ID: "2", Node: "n2", State: "failed", Desired: "shutdown"},
		{ID: "3", Node: "n2", State: "starting", Desired: "running"}, {ID: "4", Node: "n3", State: "running", Desired: "running"},
	}
	before, _ := from(t, Input{Snapshot: snapshot})
	if !strings.HasSuffix(before.Rules[0].Expr, "!= 3") {
		t.Fatal(before.Rules[0].Expr)
	}
	// A task waits to be started again after it has crashed.
	snapshot.Tasks["id-exp"][3] = catalog.Task{ID: "5", Node: "n3", State: "ready", Desired: "ready"}
	if s, _ := from(t, Input{Snapshot: snapshot}); s.Hash != before.Hash {
		t.Error("the rule follows the outage:", s.Rules[0].Expr)
	}
}

// TestAJob has a target while its task runs, and after its end neither a target nor an alert.
func TestAJob(t *testing.T) {
	for _, mode := range []catalog.Mode{catalog.ReplicatedJob, catalog.GlobalJob} {
		snapshot := swarm("nightly scrapePort=80 alertName=a alertIf=@replicas_running")
		svc := snapshot.Services["id-nightly"]
		svc.Mode = mode
		snapshot.Services["id-nightly"] = svc
		for state, want := range map[string]uint64{"running": 1, "complete": 0, "failed": 0} {
			task := &snapshot.Tasks["id-nightly"][0]
			task.State, task.Desired = state, "complete"
			s, _ := from(t, Input{Snapshot: snapshot})
			if s.Services[0].Wanted != want || uint64(len(s.Targets)) != want {
				t.Errorf("%s, %s: %d wanted and %d targets, want %d", mode, state, s.Services[0].Wanted, len(s.Targets), want)
			}
		}
	}
}

// TestNamesOfWagglesOwnJobs are not for others, whose metrics would be taken for its own.
func TestNamesOfWagglesOwnJobs(t *testing.T) {
	snapshot := swarm("x/waggle_proxy shortName=true scrapePort=80", "waggle/proxy scrapePort=80", "y/waggle_proxies shortName=true scrapePort=80")
	_, got := from(t, Input{Snapshot: snapshot})
	if want := "waggle_proxy: 10.0.0.2:80/metrics []\nx_waggle_proxy: [] !name(gone)\ny_waggle_proxies: 10.0.0.3:80/metrics []"; strings.ReplaceAll(got, ":  [", ": [") != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestTheServiceLabelIsTheFullName(t *testing.T) {
	s, _ := from(t, Input{Snapshot: swarm("shop/web shortName=true alertName.1=a alertIf.1=up<1 alertName.2=b alertIf.2=@replicas_running alertName.3=c alertIf.3=up<3 alertLabels.3=service=x")})
	var got []string
	for _, r := range s.Rules {
		got = append(got, r.Name+" "+r.Labels["service"]+" of "+r.Labels["owner"])
	}
	if want := []string{"web_a  of shop_web", "web_b shop_web of shop_web", "web_c x of shop_web"}; !slices.Equal(got, want) {
		t.Fatal(got)
	}
}

// TestAnAlertScalesItsOwnStack: the scaler scales the service that an alert names, so one that
// scales names none of another stack, neither in the label nor by what a template makes of
// it, unless the operator allows it. One that does not scale may be about any.
func TestAnAlertScalesItsOwnStack(t *testing.T) {
	for _, c := range []struct{ name, named, want string }{
		{"another service of the stack", "evil_api", ""},
		{"itself", "evil_web", ""},
		{"no service at all", "payments", ""},
		{"a service of another stack", "shop_web", "com.df.alertLabels"},
		{"its ID", "id-shop_web", "com.df.alertLabels"},
		{"what it is called", "web", "com.df.alertLabels"},
		{"a service of a stack whose name begins alike", "evil_a_web", "com.df.alertLabels"},
		{"what a template makes", "{{$labels.x}}", "com.df.alertLabels"},
	} {
		for _, mode := range []string{"scales", "does not scale", "is allowed to"} {
			in, scale, want := Input{Settings: settings}, ",scale=down,type=service", c.want
			switch mode {
			case "does not scale":
				scale, want = "", ""
			case "is allowed to":
				in.Settings.AcrossStacks, want = true, ""
			}
			in.Snapshot = swarm("shop/web shortName=true", "evil_a/web", "evil/api", "evil/web alertName=x alertIf=vector(1) alertLabels=service="+c.named+scale)
			s, _ := from(t, in)
			got := ""
			for _, one := range s.Services {
				for _, f := range one.Faults {
					got += label.First(f.Err).Label
				}
			}
			if got != want || (len(s.Rules) == 0) != (want != "") {
				t.Errorf("%s, %s: faults %q and %d rules, want %q", c.name, mode, got, len(s.Rules), want)
			}
		}
	}
}

// TestLabelsThatGrewTooLargeLeaveAllAsItWas: what was left out was perhaps monitor's.
func TestLabelsThatGrewTooLargeLeaveAllAsItWas(t *testing.T) {
	for _, c := range []struct {
		name, before, want string
	}{
		{"all that was accepted stays", "shop/web shortName=true scrapePort=80 alertName=a alertIf=up<1", "shop_web: 10.0.0.1:80/metrics [web_a=up<1] !labels(kept)"},
		{"too large from the beginning", "", "shop_web: [] !labels(gone)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var before map[string]catalog.Service
			if c.before != "" {
				before = accepted(t, c.before)
			}
			now := swarm("shop/web")
			svc := now.Services["id-shop_web"]
			svc.Oversize = 70000
			now.Services["id-shop_web"] = svc
			s, got := from(t, Input{Snapshot: now, Accepted: before})
			if strings.ReplaceAll(got, ":  [", ": [") != c.want {
				t.Errorf("got %s\nwant %s", got, c.want)
			}
			if len(s.Services) == 1 && s.Services[0].Fresh != 0 {
				t.Error("it counts as fresh")
			}
			if !maps.Equal(s.Accepted["id-shop_web"].Labels, before["id-shop_web"].Labels) {
				t.Errorf("accepted are %v, want %v", s.Accepted, before)
			}
		})
	}
}

// TestACutListOfTasksIsNotTakenForAll: there are more tasks than are listed.
func TestACutListOfTasksIsNotTakenForAll(t *testing.T) {
	snapshot := swarm("exp scrapePort=80 alertName=a alertIf=@replicas_running")
	svc := snapshot.Services["id-exp"]
	svc.Mode, svc.Replicas = catalog.Global, 0
	snapshot.Services["id-exp"] = svc
	snapshot.Cut = map[string]int{"id-exp": 4000}
	s, _ := from(t, Input{Snapshot: snapshot})
	if one := s.Services[0]; !strings.HasSuffix(s.Rules[0].Expr, "!= 4000") || one.Wanted != 4000 || one.Unlisted != 3999 || len(one.Targets) != 1 {
		t.Errorf("%s, %+v", s.Rules[0].Expr, one)
	}
}

func TestSameCatalogSameBytes(t *testing.T) {
	var lines []string
	for i := range 40 {
		lines = append(lines, fmt.Sprintf("s%d scrapePort=%d alertName.1=a alertIf.1=up<%d alertName.5=b alertIf.5=@nope alertLabels.1=x=1,y=2,z=3", i, i+1, i))
	}
	first, _ := from(t, Input{Snapshot: swarm(lines...)})
	for range 10 {
		s, _ := from(t, Input{Snapshot: swarm(lines...)})
		if s.Hash != first.Hash || !bytes.Equal(s.RulesFile, first.RulesFile) || !bytes.Equal(s.TargetsFile, first.TargetsFile) {
			t.Fatal("other bytes")
		}
	}
}

func BenchmarkThousandServices(b *testing.B) {
	var lines []string
	for i := range 1000 {
		lines = append(lines, fmt.Sprintf("s%d scrapePort=80 alertName.1=a alertIf.1=@resp_time_above:0.1,5m,0.99 alertName.2=b alertIf.2=@resp_time_below:0.1,5m,0.75", i))
	}
	in := Input{Snapshot: swarm(lines...), Settings: settings}
	for b.Loop() {
		if _, err := From(in); err != nil {
			b.Fatal(err)
		}
	}
}

// TestLimitsOfAService: its rules have the limit that its labels say, or last said, and those of
// others the usual one.
func TestLimitsOfAService(t *testing.T) {
	in := Input{Settings: settings, Snapshot: swarm("few alertLimit=5 alertName=x alertIf=up<1", "usual alertName=x alertIf=up<1", "much alertLimit=101 alertName=x alertIf=up<1", "kept alertLimit=x alertName=x alertIf=up<1")}
	in.Settings.AlertLimit, in.Settings.MaxAlerts = 50, 100
	in.Accepted = accepted(t, "kept alertLimit=7 alertName=x alertIf=up<1")
	s, got := from(t, in)
	want := "few: [few_x=up<1]\nkept: [kept_x=up<1] !limit(kept)\nmuch: [much_x=up<1] !limit(gone)\nusual: [usual_x=up<1]"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	for _, text := range []string{"\"few\"\n    limit: 5\n", "\"usual\"\n    limit: 50\n", "\"much\"\n    limit: 50\n", "\"kept\"\n    limit: 7\n"} {
		if !strings.Contains(string(s.RulesFile), text) {
			t.Errorf("%q is not in\n%s", text, s.RulesFile)
		}
	}
	idle, _ := from(t, Input{Snapshot: swarm("web scrapePort=80 alertLimit=5")})
	if w := idle.Services[0].Warnings; len(w) != 1 || w[0] != "com.df.alertLimit has no effect without a rule" {
		t.Error(w)
	}
}
