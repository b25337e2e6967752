package console

import (
	"fmt"
	"slices"
	"sync"
)

// failures are what could not be learned.
type failures struct {
	mu   sync.Mutex // several are asked at once
	text []string
}

func (f *failures) add(text string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.text = append(f.text, text)
}

func (f *failures) sorted() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	slices.Sort(f.text)
	return f.text
}

// heard takes an answer, or notes what is not known without it.
func heard[T any](f *failures, what string, ask func() (T, error)) T {
	v, err := ask()
	if err != nil {
		f.add(fmt.Sprintf("%s: %v", what, err))
	}
	return v
}

// known is nothing if there is no failure.
func known(failure, what string) []string {
	if failure == "" {
		return nil
	}
	return []string{what + ": " + failure}
}

// together does several at once.
func together(steps ...func()) {
	var asked sync.WaitGroup
	for _, step := range steps {
		asked.Go(step)
	}
	asked.Wait()
}
