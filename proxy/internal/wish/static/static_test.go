package static

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/wagglehq/waggle/pkg/label"
	"github.com/wagglehq/waggle/proxy/internal/wish/route"
	"github.com/wagglehq/waggle/proxy/internal/wish/route/labels"
)

func TestServicesOfVariables(t *testing.T) {
	for _, c := range []struct {
		name    string
		environ string
		o       Options
		// want are services as "id name label=text ...", without notify.
		want []string
	}{
		{"no variables", "PATH=/bin\nDFP_SERVICES=x", Options{}, nil},
		{"one without a number", "DFP_SERVICE_SERVICE_NAME=web\nDFP_SERVICE_SERVICE_PATH=/a\nDFP_SERVICE_PORT=80", Options{},
			[]string{"static-0 web port=80 servicePath=/a"}},
		{"several with numbers, which may have gaps", "DFP_SERVICE_1_SERVICE_NAME=a\nDFP_SERVICE_3_SERVICE_NAME=b\nDFP_SERVICE_3_OUTBOUND_HOSTNAME=ext.host", Options{},
			[]string{"static-1 a", "static-3 b outboundHostname=ext.host"}},
		{"the words of the original", "DFP_SERVICE_SERVICE_NAME=a\nDFP_SERVICE_ACL_NAME=01\nDFP_SERVICE_DISCOVERYTYPE=DNS\nDFP_SERVICE_HTTPS_REDIRECT_CODE=301\nDFP_SERVICE_REQ_PATH_SEARCH_REPLACE=/a,/b", Options{},
			[]string{"static-0 a aclName=01 discoveryType=DNS httpsRedirectCode=301 reqPathSearchReplace=/a,/b"}},
		{"indexed destinations", "DFP_SERVICE_1_SERVICE_NAME=a\nDFP_SERVICE_1_SERVICE_PATH_1=/x\nDFP_SERVICE_1_PORT_1=80\nDFP_SERVICE_1_SERVICE_PATH_2=/y\nDFP_SERVICE_1_PORT_2=81", Options{},
			[]string{"static-1 a port.1=80 port.2=81 servicePath.1=/x servicePath.2=/y"}},
		{"the destination without an index stays one beside them",
			"DFP_SERVICE_SERVICE_NAME=a\nDFP_SERVICE_SERVICE_PATH=/\nDFP_SERVICE_PORT=80\nDFP_SERVICE_SERVICE_PATH_1=/x\nDFP_SERVICE_PORT_1=81\nDFP_SERVICE_OUTBOUND_HOSTNAME=h\nDFP_SERVICE_SET_REQ_HEADER=X-A 1", Options{},
			[]string{"static-0 a outboundHostname=h port.1=81 port.2=80 servicePath.1=/x servicePath.2=/ setReqHeader=X-A 1"}},
		{"a port alone is inherited", "DFP_SERVICE_SERVICE_NAME=a\nDFP_SERVICE_PORT=80\nDFP_SERVICE_SERVICE_PATH_1=/x", Options{},
			[]string{"static-0 a port=80 servicePath.1=/x"}},
		{"headers are separated by commas whatever the separator", "DFP_SERVICE_SERVICE_NAME=a\nDFP_SERVICE_SET_RES_HEADER=X-A 1,X-B 2\nDFP_SERVICE_SERVICE_PATH=/a|/b,c", Options{Separator: "|"},
			[]string{"static-0 a servicePath=/a|/b,c setResHeader=X-A 1|X-B 2"}},
		{"the default protocol", "DFP_SERVICE_SERVICE_NAME=a", Options{Protocol: "tcp"}, []string{"static-0 a reqMode=tcp"}},
		{"variables that mean nothing", "DFP_SERVICE_SERVICE_NAME=a\nDFP_SERVICE_PATH=/a\nDFP_SERVICE_PORT_x=1\nDFP_SERVICE_PORT_0=1", Options{},
			[]string{"static-0 a unknown DFP_SERVICE_PATH,DFP_SERVICE_PORT_0,DFP_SERVICE_PORT_x"}},
		{"without a name", "DFP_SERVICE_2_PORT=80", Options{}, []string{`static-2 DFP_SERVICE_2 port=80 rejected DFP_SERVICE_2_SERVICE_NAME=""`}},
		{"with a name that no service can have", "DFP_SERVICE_SERVICE_NAME=a b", Options{}, []string{`static-0 DFP_SERVICE rejected DFP_SERVICE_SERVICE_NAME="a b"`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			environ := strings.Split(c.environ, "\n")
			for range 2 {
				var got []string
				for _, s := range Services(environ, c.o) {
					words := []string{s.ID, s.Name}
					for _, key := range slices.Sorted(maps.Keys(s.Labels)) {
						if key != "com.df.notify" {
							words = append(words, strings.TrimPrefix(key, "com.df.")+"="+s.Labels[key])
						}
					}
					if len(s.Unknown) > 0 {
						words = append(words, "unknown "+strings.Join(s.Unknown, ","))
					}
					if f := label.First(s.Err); f != nil {
						text, _, _ := strings.Cut(f.Error(), ":")
						words = append(words, "rejected "+text)
					}
					if !s.OptedIn() || !Is(s.ID) || !s.CreatedAt.IsZero() {
						t.Errorf("%+v: want a service of its own that opted in at the beginning of time", s)
					}
					got = append(got, strings.Join(words, " "))
				}
				if !slices.Equal(got, c.want) {
					t.Errorf("got  %q\nwant %q", got, c.want)
				}
				slices.Reverse(environ)
			}
		})
	}
}

// TestEveryLabelHasAVariable: no two labels share one, and each is found again.
func TestEveryLabelHasAVariable(t *testing.T) {
	seen := map[string]string{}
	for _, spec := range labels.Table() {
		if other, ok := seen[snake(spec.Name)]; ok {
			t.Errorf("%s and %s share the variable %s", spec.Name, other, snake(spec.Name))
		}
		seen[snake(spec.Name)] = spec.Name
		s := Services([]string{prefix + "SERVICE_NAME=a", prefix + "7_" + snake(spec.Name) + "_3=x"}, Options{})
		if len(s) != 2 || s[1].Labels["com.df."+spec.Name+".3"] != "x" {
			t.Errorf("%s is not found by its variable: %+v", spec.Name, s)
		}
	}
}

// TestNetworksAreTheProxys: a static service is reached over any of them.
func TestNetworksAreTheProxys(t *testing.T) {
	environ := []string{"DFP_SERVICE_SERVICE_NAME=a", "DFP_SERVICE_SERVICE_PATH=/", "DFP_SERVICE_PORT=80"}
	s := Services(environ, Options{Networks: []string{"waggle"}})[0]
	if _, err := labels.FromService(s.Service, labels.Options{Networks: []string{"waggle"}}); err != nil {
		t.Error(err)
	}
	var network *route.NetworkError
	if _, err := labels.FromService(s.Service, labels.Options{Networks: []string{"other"}}); !errors.As(err, &network) {
		t.Errorf("got %v, want the check of networks to be the one for all services", err)
	}
}
