package why_test

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/wagglehq/waggle/compose/waggle/internal/why"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/picture"
)

// TestACourtThatRemembersSaysTheSame as one that has never seen the swarm: services come, change,
// take what others have, are mended and go, settings change, and time goes by.
func TestACourtThatRemembersSaysTheSame(t *testing.T) {
	random := rand.New(rand.NewPCG(12, 48)) //nolint:gosec // the same swarm each time
	texts := []string{
		"", routed, "notify=true serviceDomain=shop.test port=http", "notify=true servicePath=/a port=80", "notify=true servicePath=/a servicePaht=/b port=80",
		routed + " scrapePort=8080 alertName=mem alertIf=@service_mem_limit:0.8", routed + " scrapePort=8080 alertName=mem alertIf=sum((", "notify=true scaleMin=1 scaleMax=3",
		"notify=true scaleMin=5 scaleMax=2", "notify=true scaleMin=1 scaleMax=9 scaleWhen.1=07:00-19:00 scaleMin.1=4", "notify=true shortName=true scrapePort=1", "servicePath=/a",
	}
	p := picture.Picture{Time: time.Unix(1_790_000_000, 0).UTC(), Bus: picture.Connected, Stack: "waggle", Tasks: map[string][]picture.Task{}}
	for _, c := range []string{"listener", "proxy", "monitor", "scaler"} {
		p.Instances = append(p.Instances, picture.Instance{Instance: catalog.Instance{Component: c, Instance: c}})
	}
	settings := []map[string]string{nil, {"networks": "waggle,other"}, {"default-max": "2"}, {"own-stack": "mine"}}
	court := new(why.Court)
	for turn := range 400 {
		switch n := len(p.Services); {
		case n < 3 || random.IntN(10) == 0:
			svc := service(fmt.Sprintf("shop_s%d", turn), texts[random.IntN(len(texts))], int64(turn))
			p.Services = append(p.Services, svc)
			p.Tasks[svc.ID] = []picture.Task{{Task: catalog.Task{ID: svc.ID, Node: "n1", State: "running", Desired: "running"}}}
		case random.IntN(10) == 0:
			p.Services = append(p.Services[:0:0], p.Services[1:]...)
		case random.IntN(20) == 0:
			of := &p.Instances[random.IntN(len(p.Instances))]
			of.Settings = settings[random.IntN(len(settings))]
		default:
			i := random.IntN(n)
			// The picture before is not to change.
			p.Services = append(p.Services[:0:0], p.Services...)
			p.Services[i].Labels = labels(texts[random.IntN(len(texts))])
			p.Services[i].Replicas = uint64(random.IntN(3))
			if random.IntN(3) == 0 {
				p.Services[i].ContainerLabels = labels("port=80")
			}
		}
		p.Time = p.Time.Add(time.Duration(random.IntN(7200)) * time.Second)
		got, err := court.Judge(p)
		if err != nil {
			t.Fatal(err)
		}
		want, err := why.Judge(p)
		if err != nil {
			t.Fatal(err)
		}
		for _, svc := range p.Services {
			for what, pair := range map[string][2]any{
				"the ladder": {got.Service(svc), want.Service(svc)}, "the proxy's judge": {got.Proxy(svc), want.Proxy(svc)},
				"the monitor's judge": {got.Monitor(svc), want.Monitor(svc)}, "the scaler's judge": {got.Scaler(svc), want.Scaler(svc)},
			} {
				if !reflect.DeepEqual(pair[0], pair[1]) {
					t.Fatalf("turn %d, %s: %s says\n%+v\nwant\n%+v", turn, svc.Name, what, pair[0], pair[1])
				}
			}
		}
		if o := got.Overview(); !reflect.DeepEqual(o, want.Overview()) {
			t.Fatalf("turn %d: the overview is\n%+v\nwant\n%+v", turn, o, want.Overview())
		}
	}
}
