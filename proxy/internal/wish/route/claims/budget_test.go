package claims_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/catalogtest"
	"github.com/wagglehq/waggle/proxy/internal/wish/route/claims"
	"github.com/wagglehq/waggle/proxy/internal/wish/route/labels"
)

// asking makes services, one after the other, with the same kind of labels.
func asking(n int, texts func(i int) map[string]string) []catalog.Service {
	var out []catalog.Service
	for i := range n {
		svc := catalog.Service{ID: fmt.Sprintf("s%04d", i), Name: fmt.Sprintf("s%04d", i), CreatedAt: time.Unix(int64(i), 0), Labels: map[string]string{catalog.Notify: "true"}}
		for name, text := range texts(i) {
			svc.Labels[catalog.Prefix+name] = text
		}
		out = append(out, svc)
	}
	return out
}

// numbers are n texts with something before and behind each.
func numbers(n int, before, behind string) string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("%s%d%s", before, i, behind)
	}
	return strings.Join(out, ",")
}

// rejected are the services whose present labels are not in force, with the reasons.
func rejected(d claims.Desired) map[string]string {
	out := map[string]string{}
	for _, v := range d.Verdicts {
		if v.Err != nil {
			out[v.Service.Name] = v.Err.Error()
		}
	}
	return out
}

// TestAllTogetherHaveABudget: those that come first keep what they have, and the one for which
// there is not enough left is refused by name.
func TestAllTogetherHaveABudget(t *testing.T) {
	for _, c := range []struct {
		name   string
		fit, n int
		texts  func(i int) map[string]string
		says   string
	}{
		{"ports", 10, 12, func(i int) map[string]string {
			out := map[string]string{"reqMode": "tcp"}
			for k := range 100 {
				out[fmt.Sprintf("srcPort.%d", k+1)], out[fmt.Sprintf("port.%d", k+1)] = fmt.Sprint(10000+100*i+k), "80"
			}
			return out
		}, "all services together may have 1000, and those that came first have 1000"},
		{"routes", 5, 6, func(i int) map[string]string {
			return map[string]string{"serviceDomain": numbers(200, "a", fmt.Sprintf(".s%d.com", i)), "servicePath": numbers(100, "/", ""), "port": "80"}
		}, "all services together may have 100000"},
		{"tables", 100, 101, func(i int) map[string]string {
			return map[string]string{"servicePath": fmt.Sprintf("/%d", i), "rateLimit": "5/1s", "port": "80"}
		}, "com.df.rateLimit"},
	} {
		t.Run(c.name, func(t *testing.T) {
			services := asking(c.n, c.texts)
			got := rejected(claims.Settle(services, nil, labels.Options{}))
			if len(got) != c.n-c.fit {
				t.Errorf("%d of %d are refused, want %d", len(got), c.n, c.n-c.fit)
			}
			for _, svc := range services[c.fit:] {
				if !strings.Contains(got[svc.Name], c.says) || !strings.Contains(got[svc.Name], "label-budget") {
					t.Errorf("%s: %q does not say %q", svc.Name, got[svc.Name], c.says)
				}
			}
			if got := rejected(claims.Settle(services, nil, labels.Options{Budget: 2})); len(got) > 0 {
				t.Errorf("with twice the budget %d are refused: %v", len(got), got)
			}
			// Whoever was accepted keeps it, however old an other is that comes later.
			last := claims.Settle(services[1:c.fit+1], nil, labels.Options{}).Accepted
			if got := rejected(claims.Settle(services[:c.fit+1], last, labels.Options{})); len(got) != 1 || got["s0000"] == "" {
				t.Errorf("refused are %v, want the oldest, which came last", got)
			}
		})
	}
}

// TestTablesThatMultiplyAreBounded: routes of one service that are tried for the hosts of
// others do not fill the tables, and those others are not the ones who are refused.
func TestTablesThatMultiplyAreBounded(t *testing.T) {
	hosts := asking(40, func(i int) map[string]string {
		return map[string]string{"serviceDomain": numbers(1000, "h", fmt.Sprintf(".s%d.com", i)), "servicePath": "/x", "port": "80"}
	})
	last := claims.Settle(hosts, nil, labels.Options{}).Accepted
	crook := catalog.Service{ID: "crook", Name: "crook", CreatedAt: time.Unix(0, 0), Labels: map[string]string{
		catalog.Notify: "true", "com.df.servicePath": numbers(90, "/a", ""), "com.df.aclName": "0", "com.df.port": "80",
	}}
	d := claims.Settle(append([]catalog.Service{crook}, hosts...), last, labels.Options{})
	got := rejected(d)
	if len(got) != 1 || !strings.Contains(got["crook"], "the tables of all services may have 300000 entries") {
		t.Errorf("refused are %v, want crook", got)
	}
	if len(d.Tables.Paths) != 40_000 {
		t.Errorf("the table has %d paths", len(d.Tables.Paths))
	}
}

// TestAThousandServicesAreWithinTheBudget, with much of everything each.
func TestAThousandServicesAreWithinTheBudget(t *testing.T) {
	if got := rejected(claims.Settle(catalogtest.Services(1000), nil, labels.Options{})); len(got) > 0 {
		t.Errorf("refused are %v", got)
	}
	if got := rejected(claims.Settle(asking(1000, func(i int) map[string]string {
		return map[string]string{
			"serviceDomain": numbers(20, "h", fmt.Sprintf(".s%d.com", i)), "servicePath": "/a,/b,/c", "port": "80", "httpsOnly": "true",
			"users": "a:$6$saltsalt$qFmFH.bQmmtXzyBY0s9v7Oicd2z4XSI", "usersPassEncrypted": "true",
		}
	}), nil, labels.Options{})); len(got) > 0 {
		t.Errorf("%d are refused: %.300v", len(got), got)
	}
}

// FuzzSettle: no labels of three services make settling fail, or their tables outgrow what
// the budget says.
func FuzzSettle(f *testing.F) {
	f.Add(uint8(200), uint8(100), uint8(0), "/a", true)
	f.Add(uint8(255), uint8(255), uint8(255), "/.well-known/x", false)
	f.Fuzz(func(t *testing.T, hosts, paths, indexes uint8, path string, wild bool) {
		services := asking(3, func(i int) map[string]string {
			out := map[string]string{"port": "80", "aclName": strings.Repeat("0", i), "servicePath": numbers(int(paths), path, "")}
			name := "h"
			if wild {
				name = "*.h"
			}
			if i > 0 {
				out["serviceDomain"] = numbers(int(hosts), name, ".com")
			}
			for k := range int(indexes) {
				out[fmt.Sprintf("userAgent.%d", k+1)], out[fmt.Sprintf("servicePath.%d", k+1)] = fmt.Sprint(k), fmt.Sprintf("%s%d", path, k)
			}
			return out
		})
		begin := time.Now()
		d := claims.Settle(services, nil, labels.Options{})
		if n := len(d.Tables.Paths); n > 300_000 {
			t.Errorf("%d entries", n)
		}
		if took := time.Since(begin); took > 10*time.Second {
			t.Errorf("settling takes %s", took)
		}
	})
}
