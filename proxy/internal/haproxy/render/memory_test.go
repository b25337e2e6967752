package render

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/file"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/plan"
	"github.com/wagglehq/waggle/proxy/internal/wish/outbound"
	"github.com/wagglehq/waggle/proxy/internal/wish/route"
	"github.com/wagglehq/waggle/proxy/internal/wish/route/claims"
	"github.com/wagglehq/waggle/proxy/internal/wish/route/labels"
)

// mostMemory is how much memory one service may make the pure part of the controller take, in
// MiB, before and after a change of its labels: a third of a container's limit of 1 GiB is where
// Go's runtime begins to save (ADR 24).
const mostMemory = 128

// listed are n texts of about so many bytes, separated by commas.
func listed(n, bytes int, before, behind string) string {
	out := make([]string, n)
	for i := range out {
		number := strconv.Itoa(i)
		out[i] = before + strings.Repeat("x", max(0, bytes-len(before)-len(number)-len(behind))) + number + behind
	}
	return strings.Join(out, ",")
}

// dearest are the label sets of some 54 kB, all within the budget, that cost most of each kind.
func dearest() map[string]map[string]string {
	indexed := map[string]string{"serviceDomain": "a.com"}
	for i := 1; i <= 300; i++ {
		indexed[fmt.Sprintf("servicePath.%d", i)] = fmt.Sprintf("/%d", i)
		indexed[fmt.Sprintf("port.%d", i)] = "80"
		indexed[fmt.Sprintf("setReqHeader.%d", i)] = fmt.Sprintf("X-A %s%d", strings.Repeat("x", 108), i)
	}
	tried := map[string]string{
		"servicePath.1": listed(95, 60, "/", ""), "userAgent.1": "curl", "port.1": "80",
		"servicePath.2": "/", "serviceDomain.2": listed(200, 220, strings.Repeat("abcdefgh.", 18), ".com"), "port.2": "80",
	}
	return map[string]map[string]string{
		"hosts times paths":          {"serviceDomain": listed(141, 120, strings.Repeat("a.", 30), ".com"), "servicePath": listed(141, 250, "/", ""), "port": "80"},
		"indexes":                    indexed,
		"routes tried for all hosts": tried,
		"addresses":                  {"servicePath": "/", "port": "80", "allowedAddresses": listed(3300, 0, "2001:db8:1::", "")},
	}
}

// work settles a service, renders it, and does so again after a change. It returns what Go's
// runtime has of the system's memory in the end, which is the most that it had.
func work(texts map[string]string) (bytes uint64, err error) {
	r, err := NewRenderer(settings("/x"))
	if err != nil {
		return 0, err
	}
	settler := claims.NewSettler(labels.Options{Outbound: outbound.Rules{}})
	var accepted map[string]catalog.Service
	var have file.File
	for _, port := range []string{"8080", "8081"} {
		svc := catalog.Service{ID: "web", Name: "web", CreatedAt: time.Unix(1, 0), Labels: map[string]string{catalog.Notify: "true"}}
		for name, text := range texts {
			if base, _, _ := strings.Cut(name, "."); base == "port" {
				text = port
			}
			svc.Labels[catalog.Prefix+name] = text
		}
		d := settler.Settle([]catalog.Service{svc}, accepted)
		if err := d.Verdicts[0].Err; err != nil {
			return 0, err
		}
		accepted = d.Accepted
		want, err := r.Render(d.Services, d.Tables, func(route.Service, route.Backend) []netip.Addr {
			return []netip.Addr{netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("10.0.0.10")}
		})
		if err != nil {
			return 0, err
		}
		if change := plan.Diff(have, want, plan.Abilities{}); change.Reload == "" {
			return 0, errors.New("nothing has changed")
		}
		have = want
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	runtime.KeepAlive(have)
	return m.Sys, nil
}

// TestWhatOneServiceMayCost measures each label set in a process of its own.
func TestWhatOneServiceMayCost(t *testing.T) {
	const child = "WAGGLE_TEST_DEAREST"
	if name := os.Getenv(child); name != "" {
		bytes, err := work(dearest()[name])
		if err != nil {
			t.Fatal(err)
		}
		fmt.Printf("took %d\n", bytes>>20)
		return
	}
	for name, texts := range dearest() {
		t.Run(name, func(t *testing.T) {
			size := 0
			for label, text := range texts {
				size += len(catalog.Prefix) + len(label) + len(text)
			}
			if size < 45_000 || size > 60_000 {
				t.Errorf("the labels have %d bytes, want some 54000", size)
			}
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestWhatOneServiceMayCost$", "-test.v")
			cmd.Env = append(os.Environ(), child+"="+name)
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			_, text, _ := strings.Cut(string(out), "took ")
			text, _, _ = strings.Cut(text, "\n")
			took, err := strconv.Atoi(text)
			if err != nil {
				t.Fatalf("%s: %v", out, err)
			}
			t.Logf("%d bytes of labels take %d MiB", size, took)
			if took > mostMemory {
				t.Errorf("it takes %d MiB, want at most %d", took, mostMemory)
			}
		})
	}
}
