// Package manual keeps the services that come over HTTP instead of by labels. They
// are wanted state like labels: they lie on the bus, where every replica reads them,
// and in a file, for a start without a bus.
package manual

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"time"

	"github.com/wagglehq/waggle/pkg/bus"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/label"
)

// ID is that of the service of a name.
func ID(name string) string { return catalog.ManualPrefix + bus.Token(name) }

// ErrNoName says that a request names no service.
var ErrNoName = errors.New("the parameter serviceName is mandatory")

// The names of Swarm's services, and those of labels.
var (
	serviceName = regexp.MustCompile(`^[A-Za-z0-9]+([._-]+[A-Za-z0-9]+)*$`)
	labelName   = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9]*([._-][A-Za-z0-9]+)*$`)
)

// The longest names that are taken, in bytes.
const (
	maxServiceName = 63
	maxLabelName   = 100
)

// Name reads the name of the service that a request is about.
func Name(form url.Values) (string, error) {
	name := form.Get("serviceName")
	switch {
	case name == "":
		return "", ErrNoName
	case len(name) > maxServiceName || !serviceName.MatchString(name):
		return "", fmt.Errorf("serviceName=%q: want letters and digits, with dots, dashes and underscores between them, %d at most", label.Show(name, false), maxServiceName)
	}
	return name, nil
}

// Service reads the parameters of a request: the labels of a service without their
// prefix. It opted in by being asked for. now is when it counts as created.
func Service(form url.Values, now time.Time) (catalog.Service, error) {
	name, err := Name(form)
	if err != nil {
		return catalog.Service{}, err
	}
	svc := catalog.Service{
		ID: ID(name), Name: name, Labels: map[string]string{},
		// Nobody says how many tasks it has, so its name should always have an answer.
		Mode: catalog.Global, CreatedAt: now.UTC().Truncate(time.Millisecond),
	}
	for parameter, texts := range form {
		switch parameter {
		case "serviceName", "distribute":
			continue // every replica reads what one has taken
		case "replicas":
			n, err := strconv.ParseUint(texts[0], 10, 31)
			if err != nil {
				return catalog.Service{}, fmt.Errorf("replicas=%q: want a whole number", label.Show(texts[0], false))
			}
			svc.Mode, svc.Replicas = catalog.Replicated, n
			continue
		}
		if len(parameter) > maxLabelName || !labelName.MatchString(parameter) {
			return catalog.Service{}, fmt.Errorf("%q: want the name of a label without %s", label.Show(parameter, false), catalog.Prefix)
		}
		svc.Labels[catalog.Prefix+parameter] = texts[0]
	}
	svc.Labels[catalog.Notify] = "true"
	value, err := catalog.Encode(svc)
	if err == nil && len(value) > catalog.MaxValue {
		err = &catalog.TooLargeError{Service: name, Bytes: len(value)}
	}
	return svc, err
}
