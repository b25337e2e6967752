package swarmcase

import (
	"fmt"
	"maps"
	"slices"
)

// Fits returns why a value that came from JSON does not fit what is wanted of it: a text or
// number is equal, "*" stands for any that is not empty, and null for one that is absent. Of an object these fields fit,
// whatever the others. A list has as many elements, each of which fits another one.
func Fits(want, got any) error { return fits("it", want, got, true) }

func fits(at string, want, got any, present bool) error {
	switch want := want.(type) {
	case nil:
		if present && got != nil {
			return fmt.Errorf("%s is %v, want none", at, got)
		}
		return nil
	case map[string]any:
		all, ok := got.(map[string]any)
		if !ok {
			return fmt.Errorf("%s is %v, want an object", at, got)
		}
		for _, name := range slices.Sorted(maps.Keys(want)) {
			value, has := all[name]
			if err := fits(at+"."+name, want[name], value, has); err != nil {
				return err
			}
		}
		return nil
	case []any:
		all, ok := got.([]any)
		if !ok || len(all) != len(want) {
			return fmt.Errorf("%s is %v, want a list of %d", at, got, len(want))
		}
		return match(at, want, all)
	case string:
		if want == "*" && present && got != nil && got != "" {
			return nil
		}
	}
	if !present || want != got {
		return fmt.Errorf("%s is %v, want %v", at, got, want)
	}
	return nil
}

// match gives each of the wanted a partner of its own.
func match(at string, want, got []any) error {
	partner := make([]int, len(got)) // the wanted one that has it, plus 1
	for i := range want {
		tried := make([]bool, len(got))
		var why error
		var find func(i int) bool
		find = func(i int) bool {
			for j := range got {
				if tried[j] {
					continue
				}
				if err := fits(fmt.Sprintf("%s[%d]", at, j), want[i], got[j], true); err != nil {
					why = err
					continue
				}
				tried[j] = true
				if partner[j] == 0 || find(partner[j]-1) {
					partner[j] = i + 1
					return true
				}
			}
			return false
		}
		if !find(i) {
			return fmt.Errorf("none fits number %d: %w", i+1, why)
		}
	}
	return nil
}
