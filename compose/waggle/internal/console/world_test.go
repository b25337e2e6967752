package console_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/wagglehq/waggle/compose/waggle/internal/why"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/picture"
)

// many is a picture of so many services that are well.
func many(n int) picture.Picture {
	p := picture.Picture{Bus: picture.Connected, Stack: "waggle", Time: time.Unix(1000, 0), Tasks: map[string][]picture.Task{}}
	for i := range n {
		id, name := fmt.Sprintf("id%04d", i), fmt.Sprintf("stack%d_service%04d", i%20, i)
		svc := catalog.Service{ID: id, Name: name, Stack: fmt.Sprintf("stack%d", i%20), Mode: catalog.Replicated, Replicas: 2, Networks: []string{"waggle"}, Image: "shop:1",
			Labels: map[string]string{catalog.Notify: "true", "com.df.serviceDomain": fmt.Sprintf("s%d.example.com", i), "com.df.servicePath": "/api", "com.df.port": "8080",
				"com.df.scrapePort": "8080", "com.df.alertName": "mem", "com.df.alertIf": "@service_mem_limit:0.8", "com.df.scaleMin": "1", "com.df.scaleMax": "4"}}
		p.Services = append(p.Services, svc)
		for k := range 2 {
			p.Tasks[id] = append(p.Tasks[id], picture.Task{Task: catalog.Task{ID: fmt.Sprintf("%s-%d", id, k), Node: "n1", State: "running", Desired: "running", Addresses: map[string][]string{"waggle": {"10.0.0.9"}}}})
		}
		for _, c := range []string{"proxy", "monitor", "scaler"} {
			p.Statuses = append(p.Statuses, picture.Status{Status: catalog.Status{Component: c, Instance: c + "1", ServiceID: id, Service: name, State: catalog.StateApplied}})
		}
	}
	p.Nodes = []catalog.Node{{ID: "n1", Hostname: "h1", State: "ready", Role: "manager", Availability: "active"}}
	for _, c := range []string{"listener", "proxy", "monitor", "scaler"} {
		p.Instances = append(p.Instances, picture.Instance{Instance: catalog.Instance{Component: c, Instance: c + "1"}, Heard: 2})
	}
	return p
}

func BenchmarkJudge(b *testing.B) {
	p := many(1000)
	for b.Loop() {
		j, err := why.Judge(p)
		if err != nil {
			b.Fatal(err)
		}
		for _, s := range p.Services {
			j.Service(s)
		}
	}
}
