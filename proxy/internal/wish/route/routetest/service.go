package routetest

import (
	"time"

	"github.com/wagglehq/waggle/pkg/catalog"
)

// Service makes an opted-in service, the older the smaller its age number, from
// pairs of label and text without the prefix.
func Service(name string, age int, pairs ...string) catalog.Service {
	s := catalog.Service{
		ID: "id-" + name, Name: name, Mode: catalog.Replicated, Replicas: 1, Networks: []string{"waggle"},
		CreatedAt: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(age) * time.Second),
		Labels:    map[string]string{catalog.Notify: "true"},
	}
	for i := 0; i < len(pairs); i += 2 {
		s.Labels[catalog.Prefix+pairs[i]] = pairs[i+1]
	}
	return s
}
