package catalogtest

import (
	"reflect"
	"testing"
)

func TestServicesAreTheSameEachTimeAndHaveFiveLabels(t *testing.T) {
	services := Services(1000)
	if again := Services(1000); !reflect.DeepEqual(services, again) {
		t.Error("two calls differ")
	}
	names := map[string]bool{}
	for _, svc := range services {
		if len(svc.Labels) != 6 || !svc.OptedIn() {
			t.Errorf("%s has the labels %v, want five and com.df.notify", svc.Name, svc.Labels)
		}
		names[svc.Name] = true
	}
	if len(names) != len(services) {
		t.Errorf("%d names for %d services", len(names), len(services))
	}
}
