package policy_test

import (
	"errors"
	"maps"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/label"
	"github.com/wagglehq/waggle/scaler/internal/policy"
)

// service has the labels of a text such as "notify=true scaleMax=3".
func service(text string) catalog.Service {
	s := catalog.Service{ID: "id-web", Name: "shop_web", Stack: "shop", Mode: catalog.Replicated, Replicas: 2, Labels: map[string]string{}}
	for field := range strings.FieldsSeq(text) {
		name, value, _ := strings.Cut(field, "=")
		s.Labels[catalog.Prefix+name] = value
	}
	return s
}

func TestFromService(t *testing.T) {
	standard := policy.Policy{
		ServiceID: "id-web", Service: "shop_web", Min: 1, Max: 5, UpBy: 1, DownBy: 1, Wake: 1,
		CooldownUp: 30 * time.Second, CooldownDown: 2 * time.Minute, Patience: 5 * time.Minute,
	}
	with := func(change func(*policy.Policy)) policy.Policy {
		p := standard
		change(&p)
		return p
	}
	for _, c := range []struct {
		labels string
		want   policy.Policy
	}{
		{"notify=true scaleMin=1", standard},
		{"notify=True scaleMax=5", standard},
		{"notify=true scaleMin=0 scaleMax=9", with(func(p *policy.Policy) { p.Min, p.Max = 0, 9 })},
		{"notify=true scaleMin=2 scaleMax=2", with(func(p *policy.Policy) { p.Min, p.Max = 2, 2 })},
		{"notify=true scaleMax=5 scaleUpBy=2 scaleDownBy=3", with(func(p *policy.Policy) { p.UpBy, p.DownBy = 2, 3 })},
		{"notify=true scaleMax=5 scaleCooldownUp=0 scaleCooldownDown=1m30s", with(func(p *policy.Policy) { p.CooldownUp, p.CooldownDown = 0, 90*time.Second })},
		{"notify=true scaleMax=5 port=8080 servicePath=/x", standard},
		{"notify=true scaleMax=5 scale=on", standard},
		{"notify=true scaleMax=5 scaleStabilizeUp=30 scaleStabilizeDown=5m scaleUpMost=4/1m scaleDownMost=2/5m", with(func(p *policy.Policy) {
			p.Pace.Up = policy.Way{Stabilize: 30 * time.Second, Most: policy.Rate{Number: 4, Period: time.Minute}}
			p.Pace.Down = policy.Way{Stabilize: 5 * time.Minute, Most: policy.Rate{Number: 2, Period: 5 * time.Minute}}
		})},
		{"notify=true scaleMax=5 scale=off", with(func(p *policy.Policy) { p.Off = true })},
		{"notify=true scaleMax=5 scale=Dry-Run", with(func(p *policy.Policy) { p.DryRun = true })},
	} {
		t.Run(c.labels, func(t *testing.T) {
			got, err := policy.FromService(service(c.labels), policy.Standard())
			if err != nil || !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %+v, %v\nwant %+v", got, err, c.want)
			}
		})
	}
}

func TestOperatorsDefaultsHoldWhereALabelIsMissing(t *testing.T) {
	d := policy.Defaults{Min: 2, Max: 20, UpBy: 4, DownBy: 3, CooldownUp: time.Second, CooldownDown: time.Minute, Patience: time.Hour}
	got, err := policy.FromService(service("notify=true scaleMin=3"), d)
	want := policy.Policy{
		ServiceID: "id-web", Service: "shop_web", Min: 3, Max: 20, UpBy: 4, DownBy: 3, Wake: 1,
		CooldownUp: time.Second, CooldownDown: time.Minute, Patience: time.Hour,
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v\nwant %+v", got, err, want)
	}
}

func TestFaultsAreNamed(t *testing.T) {
	for labels, want := range map[string][]string{
		"scaleMax=5 scaleUpMost=4":         {`com.df.scaleUpMost="4": want a number from 1 to 10000, / and a time up to 24h0m0s, such as 4/1m`},
		"scaleMax=5 scaleDownMost=0/1m":    {`com.df.scaleDownMost="0/1m"`},
		"scaleMax=5 scaleStabilizeUp=soon": {`com.df.scaleStabilizeUp="soon"`},
		"scaleMax=5 scale=never":           {`com.df.scale="never": want one of on, off, dry-run`},
		"scaleMin=many":                    {`com.df.scaleMin="many": want a whole number from 0 to 10000`},
		"scaleMin=-1":                      {`com.df.scaleMin="-1"`},
		"scaleMax=0":                       {`com.df.scaleMax="0": want a whole number from 1 to 10000`},
		"scaleMax=1e3":                     {`com.df.scaleMax="1e3"`},
		"scaleMin=4 scaleMax=3":            {`com.df.scaleMin="4": want at most com.df.scaleMax, which is 3`},
		"scaleMin=7":                       {`com.df.scaleMin="7": want at most 5, the default of com.df.scaleMax`},
		"scaleMax=3 scaleUpBy=-1":          {`com.df.scaleUpBy="-1": want a whole number from 1`},
		"scaleMax=3 scaleDownBy=0":         {`com.df.scaleDownBy="0"`},
		"scaleMax=3 scaleCooldownUp=soon":  {`com.df.scaleCooldownUp="soon": want seconds, or a time such as 1m30s`},
		"scaleMax=3 scaleCooldownDown=-5s": {`com.df.scaleCooldownDown="-5s"`},
		"scaleMin=1 scaleMax=":             {`com.df.scaleMax="": want a whole number from 1 to 10000`},
		"scaleMin= scaleMax=9":             {`com.df.scaleMin="": want a whole number from 0`},
		"scaleMax=":                        {`com.df.scaleMax=""`},
		"scaleMin=x scaleMax=y":            {`com.df.scaleMin="x"`, `com.df.scaleMax="y"`},
	} {
		t.Run(labels, func(t *testing.T) {
			_, err := policy.FromService(service("notify=true "+labels), policy.Standard())
			if label.First(err) == nil {
				t.Fatalf("error %v, want a fault of a label", err)
			}
			for _, w := range want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("error %q does not say %q", err, w)
				}
			}
		})
	}
}

func TestWhoIsNotScaled(t *testing.T) {
	global := service("notify=true scaleMax=3")
	global.Mode = catalog.Global
	job := service("notify=true scaleMax=3")
	job.Mode = catalog.ReplicatedJob
	for _, c := range []struct {
		name  string
		svc   catalog.Service
		err   error
		state policy.State
		say   string
	}{
		{"no label of the scaler", service("notify=true port=80"), policy.ErrNotAsked, policy.Ignored, "com.df.scaleMax"},
		{"a step alone does not ask", service("notify=true scaleUpBy=2"), policy.ErrNotAsked, policy.Ignored, "com.df.scaleMax"},
		{"without notify", service("scaleMax=3"), policy.ErrNotNotified, policy.Ignored, "com.df.notify=true"},
		{"notify is false", service("notify=false scaleMax=3"), policy.ErrNotNotified, policy.Ignored, "com.df.notify=true"},
		{"global", global, policy.ErrGlobal, policy.Rejected, "replicated"},
		{"job", job, policy.ErrJob, policy.Rejected, "replicated"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := policy.FromService(c.svc, policy.Standard()); !errors.Is(err, c.err) {
				t.Errorf("error %v, want %v", err, c.err)
			}
			o := policy.Explain(c.svc, nil, nil, policy.Standard())
			if o.State != c.state || !strings.Contains(o.Hint, c.say) {
				t.Errorf("%s, hint %q; want %s with %q", o.State, o.Hint, c.state, c.say)
			}
		})
	}
}

func TestExplain(t *testing.T) {
	runs := []catalog.Task{{ID: "t", State: "running", Desired: "running"}}
	misplaced := service("notify=true port=80")
	misplaced.ContainerLabels = map[string]string{"com.df.scaleMax": "4"}
	replicas := func(n uint64) catalog.Service {
		s := service("notify=true scaleMin=2 scaleMax=5")
		s.Replicas = n
		return s
	}
	for _, c := range []struct {
		name       string
		svc        catalog.Service
		tasks      []catalog.Task
		state      policy.State
		reason     string
		label      string
		hasApolicy bool
	}{
		{"all well", replicas(3), runs, policy.Applied, "", "", true},
		{"below its least", replicas(1), runs, policy.Applied, "asks for 1 replicas, below scaleMin 2", "", true},
		{"stopped on purpose", replicas(0), nil, policy.Applied, "asks for 0 replicas, below scaleMin 2", "", true},
		{"above its greatest", replicas(9), runs, policy.Applied, "asks for 9 replicas, above scaleMax 5", "", true},
		{"its tasks are not known", replicas(3), nil, policy.Applied, "", "", true},
		{"nothing runs", replicas(3), []catalog.Task{}, policy.Degraded, "none of its 3 tasks runs", "", true},
		{"a fault", service("notify=true scaleMax=lots"), runs, policy.Rejected, `com.df.scaleMax="lots"`, "com.df.scaleMax", false},
		{"labels on the container", misplaced, runs, policy.Ignored, "stands on the container", "com.df.scaleMax", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := policy.Explain(c.svc, c.tasks, nil, policy.Standard())
			if o.State != c.state || !strings.HasPrefix(o.Reason, c.reason) && !strings.Contains(o.Reason, c.reason) || (c.reason == "") != (o.Reason == "") ||
				o.Label != c.label || (o.Policy.ServiceID != "") != c.hasApolicy {
				t.Errorf("got %+v", o)
			}
		})
	}
}

func TestFindAndAll(t *testing.T) {
	a, b, c := service("notify=true scaleMax=3 shortName=true"), service("notify=true shortName=true"), service("")
	b.ID, b.Name, b.Stack = "id-b", "blog_web", "blog"
	c.ID, c.Name, c.Stack = "id-c", "api", ""
	c.ContainerLabels = map[string]string{"com.df.scaleMin": "1"}
	snapshot := catalog.Snapshot{Services: map[string]catalog.Service{a.ID: a, b.ID: b, c.ID: c}}
	for name, want := range map[string]string{"shop_web": "id-web", "id-b": "id-b", "api": "id-c"} {
		if got, err := policy.Find(snapshot, name); err != nil || got.ID != want {
			t.Errorf("Find(%s) = %s, %v", name, got.ID, err)
		}
	}
	if _, err := policy.Find(snapshot, "web"); !errors.Is(err, policy.ErrAmbiguous) || !strings.Contains(err.Error(), "blog_web, shop_web") {
		t.Errorf("Find(web) = %v, want ambiguous with both names", err)
	}
	if _, err := policy.Find(snapshot, "nobody"); !errors.Is(err, policy.ErrUnknown) {
		t.Errorf("Find(nobody) = %v", err)
	}
	delete(snapshot.Services, b.ID)
	if got, err := policy.Find(snapshot, "web"); err != nil || got.Name != "shop_web" {
		t.Errorf("Find(web) by what it is called = %s, %v", got.Name, err)
	}
	snapshot.Services[b.ID] = b
	var names []string
	for _, o := range policy.All(snapshot, nil, policy.Standard()) {
		names = append(names, o.Service.Name)
	}
	if got := strings.Join(names, " "); got != "api shop_web" {
		t.Errorf("All = %q, want those with labels of the scaler, oldest first", got)
	}
}

func TestOperatorsDefaultsAreChecked(t *testing.T) {
	if err := policy.Standard().Check(); err != nil {
		t.Fatal(err)
	}
	bad := policy.Defaults{Min: 6, Max: 5, UpBy: 0, DownBy: 1, CooldownUp: -time.Second}
	err := bad.Check()
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"default-min=6: want at most default-max", "default-up-by=0", "default-cooldown-up=-1s"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
}

func FuzzFromService(f *testing.F) {
	f.Add("1", "5", "1", "1", "30")
	f.Add("-1", "99999999999999999999", "0", "+2", "1h")
	f.Add(" 2 ", "2\n", "{{", "\x00", "-9223372036854775808")
	f.Fuzz(func(t *testing.T, least, most, up, down, cooldown string) {
		svc := catalog.Service{ID: "a", Name: "b", Mode: catalog.Replicated, Labels: map[string]string{
			catalog.Notify: "true", "com.df.scaleMin": least, "com.df.scaleMax": most,
			"com.df.scaleUpBy": up, "com.df.scaleDownBy": down, "com.df.scaleCooldownUp": cooldown, "com.df.scaleCooldownDown": cooldown,
		}}
		p, err := policy.FromService(svc, policy.Standard())
		if err != nil {
			if label.First(err) == nil {
				t.Fatalf("%v names no label", err)
			}
			return
		}
		if p.Min > p.Max || p.Max < 1 || p.Max > policy.Most || p.UpBy < 1 || p.DownBy < 1 || p.CooldownUp < 0 || p.CooldownUp > policy.MaxCooldown {
			t.Fatalf("admitted %+v", p)
		}
	})
}

// TestARejectedServiceKeepsItsBounds: those of the labels that were last accepted.
func TestARejectedServiceKeepsItsBounds(t *testing.T) {
	oversize := service("notify=true")
	oversize.Oversize = 70000
	for _, c := range []struct {
		name, last string
		svc        catalog.Service
		state      policy.State
		reason     string
		most       uint64
	}{
		{"labels grown too large", "notify=true scaleMax=7", oversize, policy.Rejected, "its labels take 70,000 bytes, at most 65,536 are allowed (the labels last accepted stay in force)", 7},
		{"labels too large from the beginning", "", oversize, policy.Rejected, "its labels take 70,000 bytes, at most 65,536 are allowed", 0},
		{"a fault", "notify=true scaleMax=7", service("notify=true scaleMax=lots"), policy.Rejected, `com.df.scaleMax="lots": want a whole number from 1 to 10000 (the labels last accepted stay in force)`, 7},
		{"a fault from the beginning", "", service("notify=true scaleMax=lots"), policy.Rejected, `com.df.scaleMax="lots": want a whole number from 1 to 10000`, 0},
		{"opted out", "notify=true scaleMax=7", service("scaleMax=lots"), policy.Ignored, "the service has not opted in: it has no label com.df.notify=true", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			accepted := map[string]catalog.Service{}
			if c.last != "" {
				accepted[c.svc.ID] = service(c.last)
			}
			all := policy.All(catalog.Snapshot{Services: map[string]catalog.Service{c.svc.ID: c.svc}}, accepted, policy.Standard())
			if len(all) != 1 || all[0].State != c.state || all[0].Reason != c.reason || all[0].Policy.Max != c.most || all[0].Hint == "" {
				t.Errorf("%+v, want %s: %s", all, c.state, c.reason)
			}
			if (all[0].Accepted != nil) != (c.most > 0) {
				t.Errorf("in force are %v", all[0].Accepted)
			}
		})
	}
}

// TestWhatIsAcceptedIsTheScalersOwn: other labels are no matter of scaling, and may be
// secret.
func TestWhatIsAcceptedIsTheScalersOwn(t *testing.T) {
	o := policy.Explain(service("notify=true scaleMax=7 servicePath=/ users=ann:geheim"), nil, nil, policy.Standard())
	if want := service("notify=true scaleMax=7").Labels; !maps.Equal(o.Accepted, want) {
		t.Errorf("%v, want %v", o.Accepted, want)
	}
}

// TestACutListOfTasksThatRunIsEnough: a list is cut behind the tasks that run.
func TestACutListOfTasksThatRunIsEnough(t *testing.T) {
	svc := service("notify=true scaleMin=1 scaleMax=9000")
	svc.Replicas = 4000
	all := policy.All(catalog.Snapshot{
		Services: map[string]catalog.Service{svc.ID: svc}, Cut: map[string]int{svc.ID: 4000},
		Tasks: map[string][]catalog.Task{svc.ID: {{ID: "t", State: "running", Desired: "running"}}},
	}, nil, policy.Standard())
	if len(all) != 1 || all[0].State != policy.Applied {
		t.Errorf("%+v", all)
	}
}

// TestAMemoSaysWhatIsSaidWithoutIt: whatever changes between two questions.
func TestAMemoSaysWhatIsSaidWithoutIt(t *testing.T) {
	memo := policy.NewMemo(policy.Standard())
	running := []catalog.Task{{ID: "t", State: "running", Desired: "running"}}
	for _, now := range []struct {
		name, labels, accepted string
		tasks                  []catalog.Task
		replicas               uint64
	}{
		{"at first", "notify=true scaleMax=7", "", running, 1},
		{"again", "notify=true scaleMax=7", "notify=true scaleMax=7", running, 1},
		{"its task has stopped", "notify=true scaleMax=7", "notify=true scaleMax=7", []catalog.Task{}, 1},
		{"its tasks are not known", "notify=true scaleMax=7", "notify=true scaleMax=7", nil, 1},
		{"another number", "notify=true scaleMax=7", "notify=true scaleMax=7", running, 9},
		{"other bounds", "notify=true scaleMax=8", "notify=true scaleMax=7", running, 9},
		{"a fault", "notify=true scaleMax=lots", "notify=true scaleMax=8", running, 9},
		{"the fault, and others were accepted", "notify=true scaleMax=lots", "notify=true scaleMax=9", running, 9},
		{"opted out", "scaleMax=8", "", running, 9},
		{"no labels", "notify=true", "", running, 9},
		{"labels again", "notify=true scaleMax=8", "", running, 9},
	} {
		svc := service(now.labels)
		svc.Replicas = now.replicas
		snapshot := catalog.Snapshot{Services: map[string]catalog.Service{svc.ID: svc}, Tasks: map[string][]catalog.Task{svc.ID: now.tasks}}
		accepted := map[string]catalog.Service{}
		if now.accepted != "" {
			accepted[svc.ID] = service(now.accepted)
		}
		if got, want := memo.All(snapshot, accepted), policy.All(snapshot, accepted, policy.Standard()); !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\n%+v, want\n%+v", now.name, got, want)
		}
	}
}
