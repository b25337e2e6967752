package labels_test

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/label"
	"github.com/wagglehq/waggle/proxy/internal/wish/route/labels"
)

// short are n different short names.
func short(n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = string([]byte{byte('a' + i/676%26), byte('a' + i/26%26), byte('a' + i%26)}) + strings.Repeat("z", i/17576)
	}
	return out
}

// joined joins names with something before each.
func joined(n int, before string) string { return before + strings.Join(short(n), ","+before) }

func wanting(texts map[string]string) catalog.Service {
	out := map[string]string{catalog.Notify: "true"}
	for name, text := range texts {
		out[catalog.Prefix+name] = text
	}
	return catalog.Service{ID: "greedy", Name: "greedy", Labels: out}
}

// numbered gives each of n indexes its labels.
func numbered(n int, at func(i int) map[string]string) map[string]string {
	out := map[string]string{}
	for i := 1; i <= n; i++ {
		for name, text := range at(i) {
			out[fmt.Sprintf("%s.%d", name, i)] = text
		}
	}
	return out
}

// TestOneServiceHasABudget: whoever asks for too much is refused at once, and told by which
// label, how much it is, what the limit is, and what would be right.
func TestOneServiceHasABudget(t *testing.T) {
	users := func(hash string, n int) map[string]string {
		var entries []string
		for _, name := range short(n) {
			entries = append(entries, name+":"+hash)
		}
		return map[string]string{"servicePath": "/", "port": "80", "usersPassEncrypted": "true", "users": strings.Join(entries, ",")}
	}
	for _, c := range []struct {
		name   string
		labels map[string]string
		label  string
		says   []string
	}{
		{"hosts times paths", map[string]string{"serviceDomain": joined(4000, ""), "servicePath": joined(4000, "/"), "port": "80"}, "servicePath", []string{"at most 20000 routes", "these are 16000000", "wildcard"}},
		{"more hosts times more paths", map[string]string{"serviceDomain": joined(8000, ""), "servicePath": joined(6000, "/"), "port": "80"}, "serviceDomain", []string{"at most 20000 routes", "these are 48000000"}},
		{"paths that each index has", merged(numbered(250, func(i int) map[string]string { return map[string]string{"port": fmt.Sprint(i)} }),
			map[string]string{"servicePath": joined(2000, "/")}), "servicePath", []string{"at most 1048576 bytes of labels"}},
		{"indexes", merged(numbered(9999, func(int) map[string]string { return map[string]string{"port": "80"} }), map[string]string{"servicePath": "/"}), "port.301", []string{"at most 300 indexes", "these are 9999"}},
		{"conditional routes", numbered(290, func(i int) map[string]string {
			return map[string]string{"servicePath": fmt.Sprintf("/%d", i), "port": "80", "userAgent": fmt.Sprintf("agent%d", i)}
		}), "servicePath.1", []string{"at most 200 comparisons", "these are 201"}},
		{"many paths in another way than by their beginning", map[string]string{"servicePath": joined(5000, "/"), "pathType": "path", "port": "80"}, "servicePath", []string{"at most 200 comparisons", "these are 5000"}},
		{"hosts that are compared", map[string]string{"serviceDomain": joined(150, ""), "serviceDomainAlgo": "hdr_end(host)", "port": "80"}, "serviceDomain", []string{"at most 100 routes that are tried for every host", "exact hosts"}},
		{"paths that come before all others", map[string]string{"servicePath": joined(150, "/"), "aclName": "0", "port": "80"}, "servicePath", []string{"at most 100 routes that are tried for every host"}},
		{"challenges of everybody", map[string]string{"servicePath": joined(101, "/.well-known/"), "port": "80"}, "servicePath", []string{"at most 100 routes that are tried for every host"}},
		{"one index's paths tried for the hosts of another", map[string]string{
			"serviceDomain.1": joined(4000, ""), "servicePath.1": "/", "port.1": "80", "aclName": "0", "servicePath.2": joined(90, "/"), "port.2": "80",
		}, "serviceDomain.1", []string{"at most 20000 entries", "these are 360000"}},
		{"a wildcard's paths for each host below it", map[string]string{
			"serviceDomain.1": strings.Join(short(4000), ".a.com,") + ".a.com", "servicePath.1": "/x", "port.1": "80", "serviceDomain.2": "*.a.com", "servicePath.2": joined(4000, "/"), "port.2": "80",
		}, "serviceDomain.1", []string{"at most 20000 entries"}},
		{"a path without a host behind each condition", map[string]string{
			"serviceDomain.1": joined(4000, ""), "servicePath.1": "/x", "userAgent.1": "curl", "port.1": "80", "servicePath.2": joined(4000, "/"), "port.2": "80",
		}, "serviceDomain.1", []string{"at most 20000 entries"}},
		{"a nested repetition", map[string]string{"servicePath": `^/(a+)+$`, "pathType": "path_reg", "port": "80"}, "servicePath", []string{"no repetition within a repetition", "(/[a-z]+)+"}},
		{"a nested repetition in a host", map[string]string{"serviceDomain": `^(([a-z])+.)+$`, "serviceDomainAlgo": "hdr_reg(host)", "port": "80"}, "serviceDomain", []string{"no repetition within a repetition"}},
		{"a nested repetition in a path that is left out", map[string]string{"servicePath": "^/a", "servicePathExclude": `(x+x+)+y`, "pathType": "path_reg", "port": "80"}, "servicePathExclude", []string{"no repetition within a repetition"}},
		{"a nested repetition in a rewrite", map[string]string{"servicePath": "/", "reqPathSearchReplace": `^/(.*)*x,/y`, "port": "80"}, "reqPathSearchReplace", []string{"no repetition within a repetition"}},
		{"a nested repetition in the older rewrite", map[string]string{"servicePath": "/", "reqPathSearch": `^/(.*)*x`, "reqPathReplace": "/y", "port": "80"}, "reqPathSearch", []string{"no repetition within a repetition"}},
		{"a nested repetition in a server name", map[string]string{"reqMode": "sni", "pathType": "req_ssl_sni -m reg", "servicePath": `^(a|aa)+$`, "srcPort": "8443", "port": "443"}, "servicePath", []string{"no repetition within a repetition"}},
		{"a counted repetition", map[string]string{"servicePath": `^/(a{900}){900}$`, "pathType": "path_reg", "port": "80"}, "servicePath", nil},
		{"a long regular expression", map[string]string{"servicePath": "^/" + strings.Repeat("a", 600), "pathType": "path_reg", "port": "80"}, "servicePath", []string{"at most 512 bytes", "602"}},
		{"regular expressions", numbered(45, func(i int) map[string]string {
			return map[string]string{"servicePath": fmt.Sprintf("^/%d", i), "pathType": "path_reg", "port": "80"}
		}), "servicePath.1", []string{"at most 40 regular expressions", "these are 41"}},
		{"rounds of a hash", users("$6$rounds=10000000$saltsalt$qFmFH.bQmmtXzyBY0s9v7Oicd2z4XSI", 1), "users", []string{"at most 60 ms", "entry 1"}},
		{"cost of bcrypt", users("$2y$20$aaaaaaaaaaaaaaaaaaaaaaOi816R39wyoAAlRCi0123456789abcd", 1), "users", []string{"at most 60 ms", "at most 10"}},
		{"cost of yescrypt", users("$y$jFT$k2XAnEHBqQ1Ct2aMXFKNa/$OVYXzjlkiQpWT", 1), "users", []string{"at most 60 ms"}},
		{"dear hashes of many", users("$6$rounds=100000$saltsalt$qFmFH.bQmmtXzyBY0s9v7Oicd2z4XSI", 30), "users", []string{"at most 1000000 microseconds", "these are 1200000"}},
		{"users", map[string]string{"servicePath": "/", "port": "80", "users": strings.Join(short(1500), ":p,") + ":p"}, "users", []string{"at most 1000 users", "these are 1500"}},
		{"ports", numbered(290, func(i int) map[string]string {
			return map[string]string{"reqMode": "tcp", "srcPort": fmt.Sprint(10000 + i), "port": "80"}
		}), "srcPort.1", []string{"at most 100 ports", "these are 101"}},
		{"server names", map[string]string{"reqMode": "tcp", "serviceDomain": joined(5000, ""), "srcPort": "8443", "port": "443"}, "serviceDomain", []string{"at most 200 comparisons"}},
		{"tables of clients", numbered(25, func(i int) map[string]string {
			return map[string]string{"servicePath": fmt.Sprintf("/%d", i), "rateLimit": "5/1s", "port": "80"}
		}), "rateLimit.1", []string{"at most 20 tables", "these are 21"}},
		{"a list that each index has", merged(numbered(200, func(i int) map[string]string {
			return map[string]string{"servicePath": fmt.Sprintf("/%d", i), "port": "80"}
		}),
			map[string]string{"allowedAddresses": strings.Repeat("10.0.0.0/8,", 4000)}), "allowedAddresses", []string{"at most 1048576 bytes of labels"}},
		{"a certificate", map[string]string{"servicePath": "/", "port": "80", "serviceCert": strings.Repeat("x", 40000)}, "serviceCert", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			var before, after runtime.MemStats
			svc := wanting(c.labels)
			runtime.ReadMemStats(&before)
			begin := time.Now()
			_, err := labels.FromService(svc, labels.Options{})
			took := time.Since(begin)
			runtime.ReadMemStats(&after)
			used := (after.TotalAlloc - before.TotalAlloc) >> 10
			t.Logf("refused after %s and %d kB", took, used)
			if took > 5*time.Second || used > 64<<10 {
				t.Errorf("the fault takes %s and %d kB", took, used)
			}
			var faults label.Faults
			if !errors.As(err, &faults) {
				t.Fatalf("taken, or refused by no label: %v", err)
			}
			if got := faults[0].Label; got != catalog.Prefix+c.label {
				t.Errorf("the label at fault is %s, want %s", got, c.label)
			}
			for _, part := range c.says {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%.600s\ndoes not say %s", err.Error(), part)
				}
			}
			if len(err.Error()) > 20_000 {
				t.Errorf("the fault has %d bytes", len(err.Error()))
			}
		})
	}
}

func merged(a, b map[string]string) map[string]string {
	for name, text := range b {
		a[name] = text
	}
	return a
}

// TestBigServicesPass: what large users have is within the budget.
func TestBigServicesPass(t *testing.T) {
	for name, texts := range map[string]map[string]string{
		"200 hosts":                       {"serviceDomain": joined(200, "shop"), "port": "80"},
		"100 paths":                       {"servicePath": joined(100, "/"), "port": "80"},
		"200 hosts with 100 paths":        {"serviceDomain": joined(200, "shop"), "servicePath": joined(100, "/"), "port": "80"},
		"200 hosts with TLS elsewhere":    {"serviceDomain": joined(200, "shop"), "port": "80", "httpsPort": "443"},
		"200 hosts for one kind of agent": {"serviceDomain": joined(200, "shop"), "userAgent": "curl,wget", "port": "80"},
		"200 server names":                {"reqMode": "tcp", "serviceDomain": joined(200, "shop"), "srcPort": "8443", "port": "443"},
		"a wildcard with 100 paths":       {"serviceDomain": "acme.com,*.acme.com", "servicePath": joined(100, "/"), "port": "80"},
		"40 regular expressions":          {"servicePath": joined(40, "^/v[0-9]+/"), "pathType": "path_reg", "port": "80"},
		"100 users": {"servicePath": "/", "port": "80", "usersPassEncrypted": "true",
			"users": strings.Join(short(100), ":$6$saltsalt$qFmFH.bQmmtXzyBY0s9v7Oicd2z4XSI,") + ":$6$saltsalt$qFmFH.bQmmtXzyBY0s9v7Oicd2z4XSI"},
		"100 indexes": numbered(100, func(i int) map[string]string {
			return map[string]string{"servicePath": fmt.Sprintf("/%d", i), "port": "80"}
		}),
		"50 ports": numbered(50, func(i int) map[string]string {
			return map[string]string{"reqMode": "tcp", "srcPort": fmt.Sprint(10000 + i), "port": "80"}
		}),
	} {
		if _, err := labels.FromService(wanting(texts), labels.Options{}); err != nil {
			t.Errorf("%s: refused: %v", name, err)
		}
	}
}
