package console_test

import (
	"fmt"
	"testing"
)

// views are all pages, by the names of their pictures.
func views() map[string]string {
	return map[string]string{
		"services": "/", "service": "/services/shop_web", "broken": "/services/shop_search", "routes": "/routes?url=https%3A%2F%2Fshop.example.com%2Fcart%2F7",
		"nodes": "/nodes", "decisions": "/decisions", "replicas": "/replicas", "search": "/search?q=shop", "scaling": "/services/shop_web#scaling-of",
	}
}

// TestEveryViewFitsEveryScreen: light, dark and on a phone, each page has its content, complains
// of nothing and is not wider than the window.
func TestEveryViewFitsEveryScreen(t *testing.T) {
	s := newSwarm(t)
	shop(s)
	url := s.open(t)
	b := newBrowser(t)
	for _, look := range []struct {
		name, scheme  string
		width, height int64
	}{{"light", "light", 1280, 860}, {"dark", "dark", 1280, 860}, {"phone", "light", 390, 844}} {
		b.Looks(look.width, look.height, look.scheme)
		for name, path := range views() {
			b.visit(url + path)
			if wide := eval[int64](b, `document.documentElement.scrollWidth`); wide > look.width {
				t.Errorf("%s, %s: it is %d wide: %s", name, look.name, wide, eval[string](b, `[...document.querySelectorAll("main *, header *")].filter(e => e.getBoundingClientRect().right > innerWidth + 1).slice(0, 5).map(e => e.outerHTML.slice(0, 200)).join("\n")`))
			}
			if n := eval[int](b, `document.querySelectorAll("main h1").length`); n != 1 {
				t.Errorf("%s has %d headings of the first level", name, n)
			}
			b.keep(t, fmt.Sprintf("%s-%s", name, look.name))
		}
	}
	if said := b.Complaints(); len(said) > 0 {
		t.Errorf("the pages complain: %v", said)
	}
}
