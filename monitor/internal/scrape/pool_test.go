package scrape

import (
	"strings"
	"testing"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/label"
)

// member is exporter, of a stack.
func member(labels ...string) catalog.Service {
	svc := exporter(labels...)
	svc.Name, svc.Stack = "shop_exp", "shop"
	return svc
}

func TestPoolOfLabels(t *testing.T) {
	s := settings
	s.MaxSamples, s.MaxBody = 1000, "5MB"
	for _, c := range []struct {
		name, labels string
		want         Pool
	}{
		{"nobody, and the usual limits", "scrapePort=1", Pool{}},
		{"a token of the service", "scrapePort=1 scrapeSecret=shop_exp", Pool{Secret: "shop_exp"}},
		{"a password of the stack", "scrapePort=1 scrapeSecret=shop scrapeUser=bee", Pool{Secret: "shop", User: "bee"}},
		{"limits", "scrapePort=1 scrapeSampleLimit=1000 scrapeBodyLimit=5MB", Pool{Samples: 1000, Body: "5MB"}},
		{"what is empty is absent", "scrapePort=1 scrapeSecret= scrapeUser= scrapeSampleLimit= scrapeBodyLimit=", Pool{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			job, ok, err := only(member(strings.Fields(c.labels)...), s)
			if !ok || err != nil || job.Pool != c.want {
				t.Errorf("%+v %v", job.Pool, err)
			}
		})
	}
}

func TestFaultsOfPools(t *testing.T) {
	s := settings
	s.MaxSamples, s.MaxBody = 1000, "5MB"
	for _, c := range []struct{ labels, label, want string }{
		{"scrapeSecret=bank", "com.df.scrapeSecret", "shop_exp or shop: a secret is sent to that service or stack alone"},
		{"scrapeSecret=../nats_monitor", "com.df.scrapeSecret", "shop_exp or shop"},
		{"scrapeSecret=shop scrapeType=static_configs", "com.df.scrapeSecret", "asks whoever takes the service's name"},
		{"scrapeUser=bee", "com.df.scrapeUser", "beside com.df.scrapeSecret"},
		{"scrapeSecret=shop scrapeUser=a:b", "com.df.scrapeUser", "without a colon"},
		{"scrapeSampleLimit=0", "com.df.scrapeSampleLimit", "from 1 to 1000"},
		{"scrapeSampleLimit=1001", "com.df.scrapeSampleLimit", "from 1 to 1000"},
		{"scrapeBodyLimit=5", "com.df.scrapeBodyLimit", "a size such as 5MB"},
		{"scrapeBodyLimit=6MB", "com.df.scrapeBodyLimit", "at most 5MB, monitor's -body-limit-max"},
		{"scrapeBodyLimit=9999999999EB", "com.df.scrapeBodyLimit", "a size such as 5MB"},
	} {
		_, ok, err := only(member(append(strings.Fields(c.labels), "scrapePort=1")...), s)
		if f := label.First(err); !ok || f == nil || f.Label != c.label || !strings.Contains(f.Want, c.want) {
			t.Errorf("%s: %v, want a fault of %s that says %q", c.labels, err, c.label, c.want)
		}
	}
	alone := exporter("scrapePort=1", "scrapeSecret=")
	alone.Labels["com.df.scrapeSecret"] = "shop"
	if _, _, err := only(alone, s); label.First(err) == nil || !strings.HasPrefix(label.First(err).Want, "exp: ") {
		t.Errorf("a service of no stack: %v", err)
	}
}

func TestBytes(t *testing.T) {
	for text, want := range map[string]uint64{"1B": 1, "50MB": 50 << 20, "3GiB": 3 << 30, "": 0, "0MB": 0, "5mb": 0, "5 MB": 0, "9999999999EB": 0, "7EB": 7 << 60, "8EB": 0, "15EB": 0} {
		if got, ok := Bytes(text); got != want && ok || ok != (want > 0) {
			t.Errorf("%q: %d %v, want %d", text, got, ok, want)
		}
	}
}

// TestTargetsByPool: targets of one pool are in one file, whatever service they are of, and
// the pool's name says what it is.
func TestTargetsByPool(t *testing.T) {
	target := func(address string, p Pool) Target { return Target{Targets: []string{address}, pool: p} }
	one, other := Pool{Secret: "shop", User: "bee"}, Pool{Samples: 5, Body: "1MB"}
	plain, pools, err := Pools([]Target{target("a:1", Pool{}), target("b:1", one), target("c:1", other), target("d:1", one)})
	if err != nil || len(plain) != 1 || len(pools) != 2 {
		t.Fatalf("%v %v %v", plain, pools, err)
	}
	for _, p := range pools {
		if p.Pool == one && (len(p.Targets) != 2 || p.String() != `secret shop, user "bee"` || !strings.Contains(string(p.File), `"d:1"`)) || p.Pool == other && p.String() != "5 samples, 1MB" {
			t.Errorf("%+v %s", p, p)
		}
	}
	if one.ID() == other.ID() || one.ID() == "" || (Pool{}).ID() != "" {
		t.Error(one.ID(), other.ID())
	}
}

// TestNoTwoPoolsAreCalledAlike: Prometheus loads nothing, of any service, while two jobs have
// one name, so no text of a label makes one pool sound like another.
func TestNoTwoPoolsAreCalledAlike(t *testing.T) {
	var all []Pool
	for _, user := range []string{"u", "u, 5 samples", `u", 5 samples`, `u\", 5 samples`, "u, 1MB", "u, 5 samples, 1MB", `u", 1MB`} {
		for _, samples := range []int{0, 5} {
			for _, body := range []string{"", "1MB"} {
				all = append(all, Pool{Secret: "shop", User: user, Samples: samples, Body: body})
			}
		}
	}
	called := map[string]Pool{}
	for _, p := range all {
		if other, taken := called[p.String()]; taken {
			t.Errorf("%+v and %+v are both called %s", p, other, p)
		}
		called[p.String()] = p
	}
}
