package listener

import (
	"strings"
	"testing"
)

func TestTheConfigurationForANATSOfOthersHoldsNoSecret(t *testing.T) {
	c := Config{KeyListener: "the-listeners-key-1", KeyProxy: "the-proxys-key-0001 the-proxys-key-0002", KeyMonitor: "the-monitors-key-1", KeyScaler: "the-scalers-key-01"}
	var out strings.Builder
	if err := c.printNATSConfig(&out); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(out.String(), "nkey: U"); n != 5 {
		t.Errorf("%d users, want 5: both of the proxy's keys count\n%s", n, out.String())
	}
	if strings.Contains(out.String(), "WAGGLE_READER") {
		t.Error("without a key of a reader there is an account for one")
	}
	c.KeyReader, c.OtherScaler, c.OtherProxy = "the-readers-key-01", "the-scalers-key-02", "the-proxys-key-0002"
	out.Reset()
	if err := c.printNATSConfig(&out); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(out.String(), "nkey: U"); n != 7 {
		t.Errorf("%d users, want 7: the reader, and the scaler's other key; a key told twice counts once\n%s", n, out.String())
	}
	if !strings.Contains(out.String(), "WAGGLE_READER {") {
		t.Errorf("there is no account of the reader:\n%s", out.String())
	}
	for component, setting := range c.keys() {
		for _, key := range strings.Fields(setting) {
			if strings.Contains(out.String(), key) {
				t.Errorf("a key of %s is in it", component)
			}
		}
	}
	c.KeyScaler = ""
	if err := c.printNATSConfig(&out); err == nil {
		t.Error("no error without the scaler's key")
	}
}
