package file

import (
	"slices"
	"testing"
)

func TestTheListIsReadAsItWasWritten(t *testing.T) {
	want := []Certificate{{DefaultCert, "1", []string{"!*"}}, {"a.pem", "1", nil}, {"b.pem", "2", []string{"b.com", "*.b.com"}}}
	text := List(want, "/data/haproxy")
	if text != "/data/haproxy/certs/=default !*\n/data/haproxy/certs/a.pem\n/data/haproxy/certs/b.pem b.com *.b.com\n" {
		t.Errorf("got\n%s", text)
	}
	got := ParseList("# /data/haproxy/certs.list\n"+text+"/elsewhere/x.pem\n\n", "/data/haproxy")
	if len(got) != len(want) {
		t.Fatalf("got %v", got)
	}
	for i := range want {
		if got[i].File != want[i].File || !slices.Equal(got[i].Only, want[i].Only) {
			t.Errorf("got %v, want %v", got[i], want[i])
		}
	}
}
