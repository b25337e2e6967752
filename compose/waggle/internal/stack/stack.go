// Package stack makes of stack files the services that the listener would publish after
// 'docker stack deploy'.
package stack

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/docker/cli/cli/compose/types"
	"github.com/wagglehq/waggle/compose/tools/stackfile"
	"github.com/wagglehq/waggle/compose/waggle/internal/lint"
	"github.com/wagglehq/waggle/pkg/catalog"
)

// Read reads files as 'docker stack deploy -c FILE -c FILE NAME' does. The services
// are in the order of their names; the earlier counts as the older.
func Read(name string, env map[string]string, files ...string) ([]lint.Service, error) {
	config, err := stackfile.Load(env, files...)
	if err != nil {
		return nil, err
	}
	where, err := places(files)
	if err != nil {
		return nil, err
	}
	out := make([]lint.Service, 0, len(config.Services))
	for i, s := range config.Services {
		svc := lint.Service{Key: s.Name, SetsReplicas: s.Deploy.Replicas != nil}
		if at, ok := where[s.Name]; ok {
			svc.File, svc.Line, svc.LabelLines = at.file, at.service, at.labels
		}
		if svc.Service, err = service(name, s, config.Networks); err != nil {
			return nil, err
		}
		svc.CreatedAt = time.Unix(int64(i), 0).UTC()
		svc.Strays = strays(s.Deploy.Labels)
		out = append(out, svc)
	}
	return out, nil
}

// place is where a service stands.
type place struct {
	file string
	lines
}

// places tells which file describes a service last, and where there.
func places(files []string) (map[string]place, error) {
	out := map[string]place{}
	for _, file := range files {
		all, err := readLines(file)
		if err != nil {
			return nil, err
		}
		for name, at := range all {
			out[name] = place{file, at}
		}
	}
	return out, nil
}

// defaultNetwork is that of services which name none.
const defaultNetwork = "default"

func service(stack string, s types.ServiceConfig, networks map[string]types.NetworkConfig) (catalog.Service, error) {
	out := catalog.Service{
		ID: s.Name, Name: stack + "_" + s.Name, Stack: stack, Image: s.Image, EndpointMode: "vip",
		Labels: ours(s.Deploy.Labels), ContainerLabels: ours(s.Labels),
	}
	if s.Deploy.EndpointMode != "" {
		out.EndpointMode = s.Deploy.EndpointMode
	}
	switch s.Deploy.Mode {
	case "global":
		out.Mode = catalog.Global
	case "global-job":
		out.Mode = catalog.GlobalJob
	case "replicated-job":
		out.Mode, out.Replicas = catalog.ReplicatedJob, 1
	case "", "replicated":
		out.Mode, out.Replicas = catalog.Replicated, 1
	default:
		return out, fmt.Errorf("services.%s.deploy.mode: %q: want replicated, global, replicated-job or global-job", s.Name, s.Deploy.Mode)
	}
	if s.Deploy.Replicas != nil && out.Replicas > 0 {
		out.Replicas = *s.Deploy.Replicas
	}
	names := []string{defaultNetwork}
	if len(s.Networks) > 0 {
		names = names[:0]
		for name := range s.Networks {
			names = append(names, name)
		}
	}
	for _, name := range names {
		network, ok := networks[name]
		switch {
		case !ok && name != defaultNetwork:
			return out, fmt.Errorf("services.%s.networks: %q is not among the networks of the file", s.Name, name)
		case network.Name != "":
			name = network.Name
		case !network.External.External:
			name = stack + "_" + name
		}
		out.Networks = append(out.Networks, name)
	}
	slices.Sort(out.Networks)
	for _, p := range s.Ports {
		out.Ports = append(out.Ports, catalog.Port{Published: p.Published, Target: p.Target, Protocol: p.Protocol, Mode: p.Mode})
	}
	out.Ports = catalog.Published(out.Ports)
	return out, nil
}

// ours are the labels under com.df.; nil if there are none.
func ours(labels types.Labels) map[string]string {
	var out map[string]string
	for full, text := range labels {
		if strings.HasPrefix(full, catalog.Prefix) {
			if out == nil {
				out = map[string]string{}
			}
			out[full] = text
		}
	}
	return out
}

// stray is how people write the beginning of labels when they slip.
var stray = regexp.MustCompile(`^(?i:com)[._/-]?(?i:df|fd)[._/-]+`)

// strays are labels that nearly begin as those of Waggle, with the names that are probably meant.
func strays(labels types.Labels) map[string]string {
	out := map[string]string{}
	for full := range labels {
		if begins := stray.FindString(full); begins != "" && !strings.HasPrefix(full, catalog.Prefix) {
			out[full] = catalog.Prefix + full[len(begins):]
		}
	}
	return out
}
