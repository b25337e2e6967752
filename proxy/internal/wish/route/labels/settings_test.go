package labels_test

import (
	"errors"
	"testing"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/proxy/internal/wish/route"
	"github.com/wagglehq/waggle/proxy/internal/wish/route/labels"
)

func TestDefaultReqMode(t *testing.T) {
	for _, c := range []struct {
		name, mode string
		labels     map[string]string
		streams    int
		err        error
	}{
		{"what does not choose is what the operator says", "tcp", map[string]string{"srcPort": "1", "port": "2"}, 1, nil},
		{"for each index", "tcp", map[string]string{"srcPort.1": "1", "port.1": "2", "srcPort.2": "3", "port.2": "4"}, 2, nil},
		{"what chooses keeps its choice", "tcp", map[string]string{"reqMode": "http", "servicePath": "/", "port": "2"}, 0, nil},
		{"one index may choose", "sni", map[string]string{"servicePath.1": "a.com", "srcPort.1": "1", "port": "2", "servicePath.2": "/", "reqMode.2": "http"}, 1, nil},
		{"labels for others ask for no route", "tcp", map[string]string{"port": "2", "scrapePort": "8080"}, 0, route.ErrNoRoute},
		{"without one it is HTTP", "", map[string]string{"servicePath": "/", "port": "2"}, 0, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := opts
			o.ReqMode = c.mode
			svc := catalog.Service{ID: "1", Name: "web", Labels: map[string]string{catalog.Notify: "true"}, Networks: o.Networks}
			for name, text := range c.labels {
				svc.Labels[catalog.Prefix+name] = text
			}
			before := len(svc.Labels)
			got, err := labels.FromService(svc, o)
			if !errors.Is(err, c.err) || c.err == nil && err != nil || len(got.Streams) != c.streams {
				t.Errorf("%v, %d streams; want %v, %d", err, len(got.Streams), c.err, c.streams)
			}
			if len(svc.Labels) != before {
				t.Error("the labels of the service were changed")
			}
		})
	}
}
