package scaler

import (
	"flag"
	"testing"

	"github.com/wagglehq/waggle/pkg/app"
	"github.com/wagglehq/waggle/scaler/judge"
)

// TestTheSettingsByWhichLabelsAreJudgedArePublic: each is a setting, and no secret.
func TestTheSettingsByWhichLabelsAreJudgedArePublic(t *testing.T) {
	fs := flag.NewFlagSet("scaler", flag.ContinueOnError)
	Service(fs)
	if got := (app.Shell{Settings: app.Settings(fs)}).Chosen(judge.Names()); len(got) != len(judge.Names()) || got["default-max"] != "5" {
		t.Errorf("told are %v of %v", got, judge.Names())
	}
}
