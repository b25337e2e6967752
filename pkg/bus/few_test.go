package bus

import (
	"errors"
	"fmt"
	"testing"
)

func TestAThousandErrorsAreToldInFourLines(t *testing.T) {
	var errs []error
	for i := range 1000 {
		errs = append(errs, fmt.Errorf("put service.%d: no answer", i))
	}
	errs[999] = fmt.Errorf("put service.999: %w", ErrConflict)
	err := join(errs)
	want := "put service.0: no answer\nput service.1: no answer\nput service.2: no answer\nand 997 more"
	if err.Error() != want {
		t.Errorf("got %q, want %q", err, want)
	}
	if !errors.Is(err, ErrConflict) {
		t.Error("the conflict among them is not found")
	}
	if got := join(errs[:2]).Error(); got != "put service.0: no answer\nput service.1: no answer" {
		t.Errorf("two errors are %q", got)
	}
	if err := join(nil); err != nil {
		t.Errorf("no errors are %v", err)
	}
}
