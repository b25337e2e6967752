package proxycase

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
)

// most is how many requests a step may make.
const most = 2000

// shares makes requests one after another and wants each of the upstreams to get so
// many percent of them, give or take two, and nobody else any.
func shares(path string, requests int, percent map[string]int) attempt {
	return func(ctx context.Context, w *world) error {
		got := map[string]int{}
		for range requests {
			answer, err := w.fetch(ctx, request{Path: path})
			if err != nil {
				return err
			}
			for want := range percent {
				if is(answer.seen.Service, want) {
					got[want]++
				}
			}
		}
		sum := 0
		for _, want := range slices.Sorted(maps.Keys(percent)) {
			sum += got[want]
			if off := 100*got[want] - percent[want]*requests; off > 2*requests || off < -2*requests {
				return fmt.Errorf("%s gets %d of %d requests, want %d%%", want, got[want], requests, percent[want])
			}
		}
		if sum != requests {
			return fmt.Errorf("%d of %d requests went to others", requests-sum, requests)
		}
		return nil
	}
}

// together makes requests at the same time and wants so many answers with each status.
func together(path string, want map[string]int) attempt {
	return func(ctx context.Context, w *world) error {
		requests := 0
		for _, n := range want {
			requests += n
		}
		type answer struct {
			status int
			err    error
		}
		answers := make(chan answer, requests)
		for range requests {
			go func() {
				r := request{Path: path}
				err := r.complete()
				var got response
				if err == nil {
					got, err = r.send(ctx, w.files)
				}
				answers <- answer{got.status, err}
			}()
		}
		got := map[string]int{}
		var errs []error
		for range requests {
			a := <-answers
			errs = append(errs, a.err)
			got[strconv.Itoa(a.status)]++
		}
		if err := errors.Join(errs...); err != nil {
			return err
		}
		if !maps.Equal(got, want) {
			return fmt.Errorf("the statuses are %v, want %v", got, want)
		}
		return nil
	}
}

// countable says what is wrong with the numbers of a step.
func countable(numbers map[string]int, limit int) error {
	sum := 0
	for _, n := range numbers {
		sum += n
	}
	if len(numbers) == 0 || sum < 1 || sum > limit {
		return fmt.Errorf("the numbers make %d, want 1 to %d", sum, limit)
	}
	return nil
}
