package api

import (
	"strings"
	"testing"
	"time"

	"github.com/wagglehq/waggle/scaler/internal/decide"
)

func TestDecisionsAsText(t *testing.T) {
	at := time.Date(2026, 12, 2, 12, 0, 0, 0, time.UTC)
	all := []decide.Decision{ // latest first
		{Time: at.Add(50 * time.Minute), Action: decide.Held, Code: decide.CodeCooldown, Message: "web stays at 2 replicas: cooldown", From: 2, To: 2},
		{Time: at.Add(35 * time.Minute), Action: decide.Adopted, Code: decide.CodeAdopted, Message: "web was changed from 4 to 2", From: 4, To: 2},
		{Time: at.Add(20 * time.Minute), Action: decide.Scaled, Code: decide.CodeDryRun, DryRun: true, Message: "Scaling web from 4 to 9", From: 4, To: 9},
		{Time: at, Action: decide.Scaled, Code: decide.CodeScaled, Message: "Scaling web from 3 to 4 replicas", From: 3, To: 4},
	}
	lines := "2026-12-02T12:50:00Z  cooldown      web stays at 2 replicas: cooldown\n" +
		"2026-12-02T12:35:00Z  adopted       web was changed from 4 to 2\n" +
		"2026-12-02T12:20:00Z  dry_run       Scaling web from 4 to 9\n" +
		"2026-12-02T12:00:00Z  scaled        Scaling web from 3 to 4 replicas\n"
	now := at.Add(70 * time.Minute)
	want := "    4 ┤ " + strings.Repeat("█", 34) + "\n" +
		"    3 ┤" + strings.Repeat("█", 35) + "\n" +
		"    2 ┤" + strings.Repeat("█", 70) + "\n" +
		"    1 ┤" + strings.Repeat("█", 70) + "\n" +
		"    0 └" + strings.Repeat("─", 70) + "\n" +
		"       0" + strings.Repeat(" ", 64) + "1h10m\n\n" + lines
	if got := text(all, true, now); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	if got := text(all, false, now); got != lines {
		t.Errorf("of all services\n%swant\n%s", got, lines)
	}
	if got := text(all[:1], true, now); got != lines[:strings.Index(lines, "\n")+1] {
		t.Errorf("without a change\n%s", got)
	}
}
