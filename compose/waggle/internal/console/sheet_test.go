package console

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// regionOf reads items as "id=content".
func regionOf(words ...string) region {
	r := region{id: "r"}
	for _, w := range words {
		id, content, _ := strings.Cut(w, "=")
		r.items = append(r.items, item{ID: id, HTML: content, hash: hashOf(content)})
	}
	return r
}

// apply does what the script of a page does with a patch.
func apply(had region, p patch) region {
	out := region{id: had.id, items: slices.Clone(had.items)}
	if p.Whole {
		out.items = nil
	}
	remove := func(id string) {
		out.items = slices.DeleteFunc(out.items, func(i item) bool { return i.ID == id })
	}
	for _, id := range p.Drop {
		remove(id)
	}
	for _, put := range p.Put {
		remove(put.ID)
		at := slices.IndexFunc(out.items, func(i item) bool { return i.ID == put.After }) + 1
		out.items = slices.Insert(out.items, at, item{ID: put.ID, HTML: put.HTML, hash: hashOf(put.HTML)})
	}
	return out
}

func traceOf(r region) []traced {
	return (&sheet{regions: []region{r}}).trace().regions[r.id]
}

// TestAPatchMakesTheNewOfTheOld: whatever came, went, changed and moved.
func TestAPatchMakesTheNewOfTheOld(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same each time
	some := func() region {
		var words []string
		for _, n := range random.Perm(8)[:random.IntN(9)] {
			words = append(words, fmt.Sprintf("i%d=%d", n, random.IntN(3)))
		}
		if random.IntN(2) == 0 {
			slices.Sort(words)
		}
		return regionOf(words...)
	}
	for range 5000 {
		have, want := some(), some()
		p := want.diff(traceOf(have), true)
		if got := apply(have, p); !slices.Equal(got.items, want.items) {
			t.Fatalf("of %v becomes %v by %+v, want %v", have.items, got.items, p, want.items)
		}
		if again := want.diff(traceOf(want), true); again.Whole || len(again.Put)+len(again.Drop) > 0 {
			t.Fatalf("of itself: %+v", again)
		}
	}
}

// TestAChangeIsTold as little as it is.
func TestAChangeIsTold(t *testing.T) {
	for name, c := range map[string]struct{ have, want, told string }{
		"nothing":              {"a=1 b=1", "a=1 b=1", "whole false, drop [], put []"},
		"one changes":          {"a=1 b=1 c=1", "a=1 b=2 c=1", "whole false, drop [], put [{b a 2}]"},
		"one goes":             {"a=1 b=1", "b=1", "whole false, drop [a], put []"},
		"one comes first":      {"b=1", "a=1 b=1", "whole false, drop [], put [{a  1}]"},
		"one gets worse":       {"a=1 b=1 c=1", "c=2 a=1 b=1", "whole false, drop [], put [{c  2}]"},
		"others change places": {"a=1 b=1", "b=1 a=1", "whole true, drop [], put [{b  1} {a b 1}]"},
	} {
		p := regionOf(strings.Fields(c.want)...).diff(traceOf(regionOf(strings.Fields(c.have)...)), true)
		if got := fmt.Sprintf("whole %t, drop %v, put %v", p.Whole, p.Drop, p.Put); got != c.told {
			t.Errorf("%s: %s, want %s", name, got, c.told)
		}
	}
}

func TestWhatStandsBetweenBackquotesIsCode(t *testing.T) {
	for text, want := range map[string]string{
		"plain": "[{plain false}]", "add `networks: [waggle]` at the end": "[{add  false} {networks: [waggle] true} { at the end false}]", "one ` alone": "[{one ` alone false}]", "": "[]",
	} {
		if got := fmt.Sprint(parts(text)); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}
