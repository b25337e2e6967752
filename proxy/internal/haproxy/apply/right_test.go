package apply_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// TestWhoGetsARequest: the more specific host, then the longer path, whoever came first and in
// whatever order the entries of the tables stand; and the default backend what fits none.
func TestWhoGetsARequest(t *testing.T) {
	services := []struct {
		name, task string
		pairs      []string
	}{
		{"wide", "127.0.0.2", []string{"serviceDomain", "*.acme.com"}},
		{"eu", "127.0.0.3", []string{"serviceDomain", "*.eu.acme.com"}},
		{"shop", "127.0.0.4", []string{"serviceDomain", "shop.eu.acme.com", "servicePath", "/shop"}},
		{"paths", "127.0.0.2", []string{"serviceDomain", "b.com", "servicePath", "/a"}},
		{"longer", "127.0.0.3", []string{"serviceDomain", "b.com", "servicePath", "/a/b"}},
		{"rest", "127.0.0.4", []string{"servicePath", "/rest", "httpsPort", "1", "isDefaultBackend", "true"}},
	}
	for _, reversed := range []bool{false, true} {
		t.Run(fmt.Sprintf("reversed=%v", reversed), func(t *testing.T) {
			w := newWorld(t)
			for i := range services {
				s := services[i]
				if reversed {
					s = services[len(services)-1-i]
				}
				w.deploy(s.name, []string{s.task}, s.pairs...)
				w.apply()
			}
			for _, c := range []struct{ host, path, who string }{
				{"x.acme.com", "/", "2"},
				{"x.y.acme.com", "/", "2"},
				{"X.EU.acme.com.", "/", "3"},
				{"x.eu.acme.com:8080", "/shop", "3"},
				{"shop.eu.acme.com", "/shop", "4"},
				{"shop.eu.acme.com", "/other", "3"},
				{"acme.com", "/", "4"},
				{"b.com", "/a", "2"},
				{"b.com", "/ab", "2"},
				{"b.com", "/a/b", "3"},
				{"b.com", "/a/bc", "3"},
				{"b.com", "/", "4"},
				{"any", "/any", "4"},
			} {
				w.want(c.host, c.path, c.who)
			}
		})
	}
}

// TestTextsOfLabelsArriveAsTheyAre: what means something in HAProxy's language is text in a
// header that a label sets, and what would end a line is refused.
func TestTextsOfLabelsArriveAsTheyAre(t *testing.T) {
	texts := []string{
		`50%`, `%%`, `%T`, `%ci`, `%{+Q}o`, `a]`, `'`, `it's`, `"`, `a "b" c`, `\`, `a\b`, `\\`, `#`, `a # b`, `$HOME`, `${HOME}`, `{`, `}`, `} deny`, `a } b`,
		`if`, `a if b`, `unless`, `http-request deny`, `a;b`, `<<`, `|`, `--`, `-m`, `a\x0db`, `a\nb`,
	}
	// These would be expressions or conditions, or end the line.
	refused := []string{`%[`, `if { always_true }`, "a\r\nX-B: c", "a\nX-B: c", "a\rb", "a\x00b", "a\x7fb", "a\u0085b"}
	texts = append(texts, refused...)
	w := newWorld(t)
	port := echo(t)
	for i, text := range texts {
		w.deploy(fmt.Sprint("web", i), []string{"127.0.0.5"}, "servicePath", fmt.Sprintf("/%d/", i), "port", port, "setReqHeader", "X-A "+text, "setResHeader", "X-A "+text)
	}
	w.apply()
	for i, text := range texts {
		if _, admitted := w.accepted[fmt.Sprint("web", i)]; !admitted {
			if !slices.Contains(refused, text) {
				t.Errorf("%q is refused", text)
			}
			continue
		}
		want := text
		if len(text) > 1 && text[0] == '"' && text[len(text)-1] == '"' {
			want = text[1 : len(text)-1]
		}
		path := w.hap.URL(fmt.Sprintf("/%d/", i))
		if got := request(t, http.MethodGet, path).Header.Get("X-A"); got != want || slices.Contains(refused, text) {
			t.Errorf("%q comes back as %q", text, got)
		}
		if _, body := ask(t, http.DefaultClient, path); !strings.Contains(body, "X-A: "+want+"\r\n") {
			t.Errorf("%q: the task sees %s", text, body)
		}
	}
}

// TestHeadersThatAreTooLong are refused, by the status that HAProxy has for what was too long, and harm nobody else.
func TestHeadersThatAreTooLong(t *testing.T) {
	w := newWorld(t)
	w.deploy("web", []string{"127.0.0.2"}, "servicePath", "/")
	w.apply()
	for _, c := range []struct {
		name  string
		lines []string
	}{
		{"a header", []string{"GET / HTTP/1.1", "Host: any", "X-A: " + strings.Repeat("x", 40<<10)}},
		{"many headers", append([]string{"GET / HTTP/1.1", "Host: any"}, strings.Split(strings.Repeat("X-A: b\n", 6000)+"X-A: b", "\n")...)},
		{"a path", []string{"GET /" + strings.Repeat("x", 40<<10) + " HTTP/1.1", "Host: any"}},
	} {
		status := spoken(t, w.hap.Port, c.lines...).StatusCode
		if status != http.StatusRequestHeaderFieldsTooLarge && status != http.StatusRequestURITooLong && status != http.StatusBadRequest {
			t.Errorf("%s: %d, want 431, 414 or 400", c.name, status)
		}
		w.want("any", "/", "2")
	}
}
