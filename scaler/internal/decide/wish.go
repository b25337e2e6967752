package decide

import "time"

// Noted adds a wish unless it is the last one, and drops those that were replaced before
// a window began.
func Noted(wishes []Wish, w Wish, begin time.Time) []Wish {
	if len(wishes) == 0 || wishes[len(wishes)-1].Number != w.Number {
		wishes = append(wishes, w)
	}
	for len(wishes) > 1 && !wishes[1].At.After(begin) {
		wishes = wishes[1:]
	}
	return wishes
}
