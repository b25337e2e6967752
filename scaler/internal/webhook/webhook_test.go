package webhook_test

import (
	"encoding/json"
	"errors"
	"flag"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wagglehq/waggle/scaler/internal/policy"
	"github.com/wagglehq/waggle/scaler/internal/signal"
	"github.com/wagglehq/waggle/scaler/internal/webhook"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestGolden reads "body, ----, result" from testdata; a first line "?query" is the query.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden files: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			in, want, _ := strings.Cut(string(content), "----\n")
			body, query := in, url.Values{}
			if line, rest, ok := strings.Cut(in, "\n"); ok && strings.HasPrefix(line, "?") {
				body = rest
				if query, err = url.ParseQuery(line[1:]); err != nil {
					t.Fatal(err)
				}
			}
			got := show(webhook.Parse([]byte(body), query))
			if *update {
				if err := os.WriteFile(file, []byte(in+"----\n"+got), 0o600); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

// show writes a request down, one line for each thing.
func show(r webhook.Request, err error) string {
	var b strings.Builder
	if err != nil {
		b.WriteString("error: " + err.Error() + "\n")
	}
	if r.ByHand {
		b.WriteString("by hand\n")
	}
	for _, a := range r.Asks {
		text, err := json.Marshal(a)
		if err != nil {
			b.WriteString(err.Error())
		}
		b.Write(text)
		b.WriteString("\n")
	}
	for _, f := range r.Faults {
		b.WriteString("fault: " + f.Service + " " + string(f.Direction) + ": " + f.Error() + "\n")
	}
	return b.String()
}

func TestByHand(t *testing.T) {
	for _, c := range []struct {
		name, body, query string
		want              webhook.Ask
		err               error
	}{
		{"body", `{"groupLabels":{"service":"web","scale":"up"}}`, "", webhook.Ask{Service: "web", Direction: signal.Up}, nil},
		{"query", "", "service=web&scale=down&by=2", webhook.Ask{Service: "web", Direction: signal.Down, By: 2}, nil},
		{
			"S-06 the query goes before the body", `{"groupLabels":{"service":"web","scale":"up","by":"1"}}`, "scale=down&service=api&by=3",
			webhook.Ask{Service: "api", Direction: signal.Down, By: 3}, nil,
		},
		{"by as a number", `{"groupLabels":{"service":"web","scale":"up","by":2}}`, "", webhook.Ask{Service: "web", Direction: signal.Up, By: 2}, nil},
		{"by as a text", `{"groupLabels":{"service":"web","scale":"up","by":"2"}}`, "", webhook.Ask{Service: "web", Direction: signal.Up, By: 2}, nil},
		{"by below 0 means its size", "", "service=web&scale=down&by=-2", webhook.Ask{Service: "web", Direction: signal.Down, By: 2}, nil},
		{"by 0 is the policy's", "", "service=web&scale=down&by=0", webhook.Ask{Service: "web", Direction: signal.Down}, nil},
		{"common labels", `{"commonLabels":{"service":"web","scale":"up"}}`, "", webhook.Ask{Service: "web", Direction: signal.Up}, nil},
		{"type service", "", "service=web&scale=up&type=service", webhook.Ask{Service: "web", Direction: signal.Up}, nil},
		{"blanks around", `{"groupLabels":{"service":" web ","scale":" Up ","by":" 2 "}}`, "", webhook.Ask{Service: "web", Direction: signal.Up, By: 2}, nil},
		{"S-08 nothing", "", "", webhook.Ask{}, webhook.ErrNoService},
		{"S-08 no service", `{"groupLabels":{"scale":"up"}}`, "", webhook.Ask{}, webhook.ErrNoService},
		{"S-08 no direction", `{"groupLabels":{"service":"web"}}`, "", webhook.Ask{}, webhook.ErrNoDirection},
		{"S-08 scale=boo", "", "service=web&scale=boo", webhook.Ask{}, webhook.ErrWrongDirection},
		{"type node", "", "service=web&scale=up&type=node", webhook.Ask{}, webhook.ErrNodes},
		{"type errors", "", "service=web&scale=up&type=errors", webhook.Ask{}, webhook.ErrWrongType},
		{"by many", "", "service=web&scale=up&by=many", webhook.Ask{}, webhook.ErrWrongBy},
		{"by too many", "", "service=web&scale=up&by=10001", webhook.Ask{}, webhook.ErrWrongBy},
		{"by least number there is", "", "service=web&scale=up&by=-9223372036854775808", webhook.Ask{}, webhook.ErrWrongBy},
	} {
		t.Run(c.name, func(t *testing.T) {
			query, err := url.ParseQuery(c.query)
			if err != nil {
				t.Fatal(err)
			}
			r, err := webhook.Parse([]byte(c.body), query)
			if err != nil || !r.ByHand {
				t.Fatalf("%+v, %v", r, err)
			}
			if c.err != nil {
				if len(r.Asks) != 0 || len(r.Faults) != 1 || !errors.Is(r.Faults[0], c.err) {
					t.Errorf("got %+v, want %v", r, c.err)
				}
				return
			}
			if len(r.Faults) != 0 || len(r.Asks) != 1 || r.Asks[0].Service != c.want.Service || r.Asks[0].Direction != c.want.Direction || r.Asks[0].By != c.want.By {
				t.Errorf("got %+v, want %+v", r, c.want)
			}
		})
	}
}

// TestNumbersByHand: each that there is may be asked for, since bounds clamp it.
func TestNumbersByHand(t *testing.T) {
	for text, want := range map[string]uint64{"0": 0, "4": 4, "10000": 10000, "99999999999999999999": policy.Most + 1} {
		r, err := webhook.Parse(nil, url.Values{"service": {"web"}, "to": {text}})
		if err != nil || len(r.Asks) != 1 || *r.Asks[0].To != want {
			t.Errorf("to=%s: %+v, %v", text, r, err)
		}
	}
	for _, text := range []string{"-1", "-99999999999999999999", "1.5", "four", "1e3", "0x4"} {
		if r, err := webhook.Parse(nil, url.Values{"service": {"web"}, "to": {text}}); err != nil || len(r.Faults) != 1 || !errors.Is(r.Faults[0], webhook.ErrWrongTo) {
			t.Errorf("to=%s: %+v, %v", text, r, err)
		}
	}
}

// TestLongNames: what an alert is called is kept on the bus, which takes no more than a megabyte.
func TestLongNames(t *testing.T) {
	long := strings.Repeat("x", 1<<20)
	body := func(fingerprint string) []byte {
		return []byte(`{"status":"firing","alerts":[{"labels":{"service":"web","scale":"up","alertname":"` + long + `"},"fingerprint":"` + fingerprint + `"}]}`)
	}
	seen := map[string]bool{}
	for _, fingerprint := range []string{long, long + "y", long} {
		r, err := webhook.Parse(body(fingerprint), nil)
		if err != nil || len(r.Asks) != 1 {
			t.Fatalf("%+v, %v", r, err)
		}
		a := r.Asks[0].Firing[0]
		if len(a.Fingerprint)+len(a.Name) > 300 {
			t.Errorf("%d and %d bytes", len(a.Fingerprint), len(a.Name))
		}
		seen[a.Fingerprint] = true
	}
	if len(seen) != 2 {
		t.Errorf("two alerts are %d", len(seen))
	}
}

func TestNoJSON(t *testing.T) {
	for _, body := range []string{"{", "[]", `"up"`, `{"alerts":5}`, `{"groupLabels":[]}`} {
		if r, err := webhook.Parse([]byte(body), nil); !errors.Is(err, webhook.ErrBody) {
			t.Errorf("%s: %+v, %v, want ErrBody", body, r, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"status":"firing","alerts":[{"status":"firing","labels":{"service":"web","scale":"up","by":"2"},"fingerprint":"a"}]}`), "")
	f.Add([]byte(`{"groupLabels":{"service":"web","scale":"up","by":-1}}`), "by=2&type=node")
	f.Add([]byte(`{"status":"resolved","groupLabels":{"service":"\u0000","scale":"DOWN"}}`), "scale=up")
	f.Fuzz(func(t *testing.T, body []byte, rawQuery string) {
		query, err := url.ParseQuery(rawQuery)
		if err != nil {
			return
		}
		r, err := webhook.Parse(body, query)
		if err != nil {
			if !errors.Is(err, webhook.ErrBody) {
				t.Fatal(err)
			}
			return
		}
		if r.ByHand && len(r.Asks)+len(r.Faults) != 1 {
			t.Fatalf("a request by hand asks for one thing: %+v", r)
		}
		for _, a := range r.Asks {
			if a.Service == "" || (a.Direction != signal.Up && a.Direction != signal.Down) || a.By > policy.Most {
				t.Fatalf("admitted %+v", a)
			}
			if !r.ByHand && len(a.Firing)+len(a.Resolved) == 0 && !a.AllResolved {
				t.Fatalf("an ask without alerts: %+v", a)
			}
		}
	})
}
