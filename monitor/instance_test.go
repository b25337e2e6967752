package monitor

import (
	"flag"
	"reflect"
	"testing"

	"github.com/wagglehq/waggle/monitor/judge"
	"github.com/wagglehq/waggle/pkg/app"
)

// TestTheSettingsByWhichLabelsAreJudgedArePublic: each is a setting, and no secret, and
// whoever has none of them judges by the same defaults.
func TestTheSettingsByWhichLabelsAreJudgedArePublic(t *testing.T) {
	fs := flag.NewFlagSet("monitor", flag.ContinueOnError)
	Service(fs)
	told := (app.Shell{Settings: app.Settings(fs)}).Chosen(judge.Names())
	if len(told) != len(judge.Names()) || len(Config{}.judgedBy()) != len(told) {
		t.Errorf("told are %v of %v", told, judge.Names())
	}
	flags, err := judge.ParseSettings(told)
	if err != nil {
		t.Fatal(err)
	}
	if none, err := judge.ParseSettings(nil); err != nil || !reflect.DeepEqual(flags, none) {
		t.Errorf("by the flags %+v, without settings %+v (%v)", flags, none, err)
	}
}
