// Package catalogtest makes catalogs for tests and measurements, shaped like those of
// real swarms and the same each time.
package catalogtest

import (
	"fmt"
	"time"

	"github.com/wagglehq/waggle/pkg/catalog"
)

// Network is the one that all services share with Waggle.
const Network = "waggle"

// Services returns n services of stacks with seven services each, with five labels
// besides com.df.notify. Of seven services four have a domain of their own, one shares
// its stack's domain and differs by its path, and two are known by their paths alone;
// every tenth stack has a wildcard. The i-th service is the i-th oldest.
func Services(n int) []catalog.Service {
	roles := [...]string{"web", "api", "shop", "blog", "assets", "admin", "hooks"}
	ports := [...]string{"80", "8080", "3000", "5000", "8000", "9000"}
	began := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	out := make([]catalog.Service, n)
	for i := range out {
		stack, role := fmt.Sprintf("stack%03d", i/len(roles)), roles[i%len(roles)]
		path, domain := "/", ""
		switch role {
		case "web":
			domain = fmt.Sprintf("www.%[1]s.example.com,%[1]s.example.com", stack)
			if i/len(roles)%10 == 0 {
				domain += fmt.Sprintf(",*.%s.example.com", stack)
			}
		case "assets":
			domain, path = stack+".example.com", "/static,/media,/favicon.ico"
		case "admin", "hooks":
			path = fmt.Sprintf("/%[1]s/%[2]s,/%[2]s/%[1]s/v1", stack, role)
		default:
			domain = fmt.Sprintf("%s.%s.example.com", role, stack)
		}
		port := ports[i%len(ports)]
		labels := map[string]string{
			catalog.Notify:                 "true",
			catalog.Prefix + "servicePath": path,
			catalog.Prefix + "port":        port,
			catalog.Prefix + "reqMode":     "http",
			catalog.Prefix + "scrapePort":  port,
		}
		if domain == "" {
			labels[catalog.Prefix+"distribute"] = "true"
		} else {
			labels[catalog.Prefix+"serviceDomain"] = domain
		}
		out[i] = catalog.Service{
			ID: fmt.Sprintf("service%05d", i), Name: stack + "_" + role, Stack: stack, Labels: labels,
			Mode: catalog.Replicated, Replicas: uint64(1 + i%3), EndpointMode: "vip",
			Networks: []string{stack + "_default", Network}, CreatedAt: began.Add(time.Duration(i) * time.Minute),
		}
	}
	return out
}
