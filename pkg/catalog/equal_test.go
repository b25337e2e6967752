package catalog_test

import (
	"bytes"
	"reflect"
	"testing"
	"time"

	"github.com/wagglehq/waggle/pkg/catalog"
)

func TestEqualServicesAreThoseOfEqualBytes(t *testing.T) {
	equalAsBytes(t, func() catalog.Service {
		return catalog.Service{
			ID: "1", Name: "shop_web", Stack: "shop", Labels: map[string]string{"com.df.port": "80"}, ContainerLabels: map[string]string{"com.df.port": "81"},
			Mode: catalog.Replicated, Replicas: 2, Networks: []string{"waggle"}, EndpointMode: "vip", CreatedAt: time.Unix(1, 0).UTC(), UpdateState: "updating",
			Update: &catalog.Update{State: "updating"}, Image: "web:1", Spec: "a", Previous: &catalog.Previous{Spec: "b"},
			Ports: []catalog.Port{{Published: 80, Target: 80, Protocol: "tcp", Mode: "host"}}, Withheld: map[string]string{"com.df.users": "c"}, Oversize: 1,
		}
	})
}

func TestEqualTasksAreThoseOfEqualBytes(t *testing.T) {
	equalAsBytes(t, func() catalog.Task {
		return catalog.Task{ID: "1", Slot: 2, Node: "n", State: "running", Desired: "running", Addresses: map[string][]string{"waggle": {"10.0.0.1"}}}
	})
}

// equalAsBytes changes one field of a value after the other.
func equalAsBytes[T interface{ Equal(T) bool }](t *testing.T, value func() T) {
	t.Helper()
	if !value().Equal(value()) {
		t.Error("a value does not equal itself")
	}
	encode := func(v T) []byte {
		out, err := catalog.Encode(v)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	kind := reflect.TypeFor[T]()
	for i := range kind.NumField() {
		other := value()
		field := reflect.ValueOf(&other).Elem().Field(i)
		field.SetZero()
		if bytes.Equal(encode(value()), encode(other)) {
			t.Errorf("without %s the bytes are the same, so this shows nothing", kind.Field(i).Name)
		}
		if value().Equal(other) {
			t.Errorf("without %s it still equals what it was", kind.Field(i).Name)
		}
	}
}
