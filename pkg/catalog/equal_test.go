package catalog_test

import (
	"bytes"
	"reflect"
	"testing"
	"time"

	"github.com/wagglehq/waggle/pkg/catalog"
)

// TestEqualServicesAreThoseOfEqualBytes changes one field after the other.
func TestEqualServicesAreThoseOfEqualBytes(t *testing.T) {
	service := func() catalog.Service {
		return catalog.Service{
			ID: "1", Name: "shop_web", Stack: "shop", Labels: map[string]string{"com.df.port": "80"}, ContainerLabels: map[string]string{"com.df.port": "81"},
			Mode: catalog.Replicated, Replicas: 2, Networks: []string{"waggle"}, EndpointMode: "vip", CreatedAt: time.Unix(1, 0).UTC(), UpdateState: "updating",
			Update: &catalog.Update{State: "updating"}, Image: "web:1", Spec: "a", Previous: &catalog.Previous{Spec: "b"},
			Ports: []catalog.Port{{Published: 80, Target: 80, Protocol: "tcp", Mode: "host"}}, Withheld: map[string]string{"com.df.users": "c"}, Oversize: 1,
		}
	}
	if !service().Equal(service()) {
		t.Error("a service does not equal itself")
	}
	encode := func(svc catalog.Service) []byte {
		out, err := catalog.Encode(svc)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	kind := reflect.TypeFor[catalog.Service]()
	for i := range kind.NumField() {
		other := service()
		field := reflect.ValueOf(&other).Elem().Field(i)
		field.SetZero()
		if bytes.Equal(encode(service()), encode(other)) {
			t.Errorf("without %s a service has the same bytes, so this shows nothing", kind.Field(i).Name)
		}
		if service().Equal(other) {
			t.Errorf("without %s a service still equals what it was", kind.Field(i).Name)
		}
	}
}
