package monitorcase

import (
	"fmt"
	"strings"
	"time"

	"github.com/prometheus/common/model"
)

// subset returns why a value that came from JSON or YAML is no subset of another: an object
// has at least these members, each element of a list has a match of its own in the other.
// Texts that are times are compared as such.
func subset(want, got any) error { return within("", want, got) }

func within(at string, want, got any) error {
	differ := func() error { return fmt.Errorf("%s is %v, want %v", strings.TrimPrefix(at, "."), got, want) }
	switch want := want.(type) {
	case map[string]any:
		all, ok := got.(map[string]any)
		if !ok {
			return differ()
		}
		for name, value := range want {
			other, ok := all[name]
			if !ok {
				return fmt.Errorf("%s has no %s", strings.TrimPrefix(at, "."), name)
			}
			if err := within(at+"."+name, value, other); err != nil {
				return err
			}
		}
		return nil
	case []any:
		all, ok := got.([]any)
		if !ok {
			return differ()
		}
		fits := func(i, j int) error { return within(fmt.Sprintf("%s[%d]", at, i), want[i], all[j]) }
		return match(len(want), len(all), fits)
	case string:
		other, ok := got.(string)
		if !ok || other != want && !sameTime(want, other) {
			return differ()
		}
		return nil
	case float64:
		if other, ok := number(got); !ok || other != want {
			return differ()
		}
		return nil
	}
	if want != got {
		return differ()
	}
	return nil
}

func number(v any) (float64, bool) {
	switch v := v.(type) {
	case float64:
		return v, true
	case int:
		return float64(v), true
	case int64:
		return float64(v), true
	case uint64:
		return float64(v), true
	}
	return 0, false
}

// match gives each of n a partner of its own among m, or says why one finds none.
func match(n, m int, fits func(i, j int) error) error {
	partner := make([]int, m)
	for j := range partner {
		partner[j] = -1
	}
	for i := range n {
		var why error
		tried := make([]bool, m)
		var find func(i int) bool
		find = func(i int) bool {
			for j := range m {
				if tried[j] {
					continue
				}
				if err := fits(i, j); err != nil {
					why = err
					continue
				}
				tried[j] = true
				if partner[j] < 0 || find(partner[j]) {
					partner[j] = i
					return true
				}
			}
			return false
		}
		if !find(i) {
			if why == nil {
				why = fmt.Errorf("there are %d, want %d", m, n)
			}
			return fmt.Errorf("none fits number %d: %w", i+1, why)
		}
	}
	return nil
}

// sameTime reports whether two texts are one time.
func sameTime(a, b string) bool {
	one, ok := duration(a)
	other, okOther := duration(b)
	return ok && okOther && one == other
}

// duration reads a time as Prometheus or Go writes it.
func duration(text string) (time.Duration, bool) {
	if d, err := model.ParseDuration(text); err == nil {
		return time.Duration(d), true
	}
	d, err := time.ParseDuration(text)
	return d, err == nil
}

// labelled returns why labels do not have these, or have one that must be absent.
func labelled(got, want map[string]string, lacks []string) error {
	for name, text := range want {
		if got[name] != text {
			return fmt.Errorf("label %s is %q, want %q", name, got[name], text)
		}
	}
	for _, name := range lacks {
		if text, ok := got[name]; ok && text != "" {
			return fmt.Errorf("label %s is %q, want none", name, text)
		}
	}
	return nil
}

// containsAll reports whether a text contains all of some, whatever the case of letters.
func containsAll(text string, parts []string) bool {
	folded := strings.ToLower(text)
	// A log quotes what it says.
	plain := strings.ToLower(strings.ReplaceAll(text, `\"`, `"`))
	for _, part := range parts {
		part = strings.ToLower(part)
		if !strings.Contains(folded, part) && !strings.Contains(plain, part) {
			return false
		}
	}
	return true
}
