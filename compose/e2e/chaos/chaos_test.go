package chaos_test

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/wagglehq/waggle/compose/e2e/chaos"
	"github.com/wagglehq/waggle/compose/e2e/parts"
	"github.com/wagglehq/waggle/pkg/tooltest"
)

// TestShort is the short form of 'make chaos'.
func TestShort(t *testing.T) {
	ctx := tooltest.Context(t, 5*time.Minute)
	if err := chaos.Short(ctx, os.Getenv("WAGGLE_IMAGES"), os.Getenv("WAGGLE_TAG"), t.Output(), t.Output()); err != nil {
		t.Error(err)
	}
}

func TestAPartThatIsNotThereIsNamed(t *testing.T) {
	var out bytes.Buffer
	err := chaos.Run(t.Context(), parts.Config{Only: []string{"listeners", "earthquake"}, Out: &out, Log: &out})
	if err == nil || !strings.Contains(err.Error(), "earthquake") || out.Len() > 0 {
		t.Errorf("it says %v, and did %q", err, out.String())
	}
}
