package window

import (
	"strings"
	"testing"
	"time"
)

func at(t *testing.T, text string) time.Time {
	t.Helper()
	moment, err := time.Parse("2006-01-02T15:04", text)
	if err != nil {
		t.Fatal(err)
	}
	return moment
}

func TestWhenAWindowIsOpen(t *testing.T) {
	const office, night = "Mon-Fri 07:30-19:00 Europe/Berlin", "Mon-Fri 22:00-06:00"
	for _, tc := range []struct {
		window, at string
		want       bool
	}{
		{office, "2026-12-02T06:29", false},
		{office, "2026-12-02T06:30", true},
		{office, "2026-12-02T17:59", true},
		{office, "2026-12-02T18:00", false},
		{office, "2026-07-01T05:30", true}, // summer time
		{office, "2026-12-05T12:00", false},
		{night, "2026-12-04T22:00", true},  // Friday
		{night, "2026-12-05T05:59", true},  // still Friday's
		{night, "2026-12-05T06:00", false}, // Saturday
		{night, "2026-12-05T22:00", false},
		{night, "2026-12-07T05:00", false}, // Sunday's night has none
		{"00:00-24:00", "2026-12-06T23:59", true},
		{"Fri-Mon 08:00-10:00", "2026-12-06T09:00", true}, // over the weekend
		{"Fri-Mon 08:00-10:00", "2026-12-09T09:00", false},
		{"Tue,Thu 08:00-10:00", "2026-12-03T09:00", true},
		{"Tue,Thu 08:00-10:00", "2026-12-02T09:00", false},
		{"sat 22:00-24:00", "2026-12-05T23:59", true},
		{"Sat 22:00-24:00", "2026-12-06T00:00", false},
	} {
		w, err := Parse(tc.window)
		if err != nil {
			t.Errorf("%s: %v", tc.window, err)
		} else if got := w.Open(at(t, tc.at)); got != tc.want {
			t.Errorf("%s at %s: open is %v", tc.window, tc.at, got)
		}
	}
}

func TestWhatIsNoWindow(t *testing.T) {
	for text, want := range map[string]string{
		"":                            "no time of day",
		"Mon-Fri":                     "no time of day",
		"Mon-Fry 07:30-19:00":         `no day "Mon-Fry"`,
		"Mon, Tue 07:30-19:00":        `no day ""`,
		"07:30":                       "no end",
		"7:30-19:00":                  "no time of day such as 07:30",
		"07:30-25:00":                 "no time of day 25:00",
		"07:60-19:00":                 "no time of day 07:60",
		"07:30-24:01":                 "no time of day 24:01",
		"24:00-19:00":                 "cannot begin at 24:00",
		"07:30-07:30":                 "ends when it begins",
		"07:30-19:00 Europe/Berlln":   `no time zone "Europe/Berlln"`,
		"07:30-19:00 Local":           `no time zone "Local"`,
		"07:30-19:00 UTC and more":    `"and" is too much`,
		"Mon 07:30-19:00 Tue 08:00-9": `"08:00-9" is too much`,
	} {
		if _, err := Parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %s", text, err, want)
		}
	}
}

// Between a moment and the next one that is told nothing changes.
func TestTheNextChangeIsNotMissed(t *testing.T) {
	for _, text := range []string{
		"Mon-Fri 07:30-19:00 Europe/Berlin", "22:00-06:00", "Sat 22:00-24:00", "02:15-02:45 Europe/Berlin", "Sun 02:30-03:30 America/New_York",
	} {
		w, err := Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		for _, begin := range []string{"2026-03-27T00:00", "2026-10-23T00:00", "2026-12-01T00:00"} {
			moment, end := at(t, begin), at(t, begin).Add(5*24*time.Hour)
			for moment.Before(end) {
				next := w.Next(moment)
				if !next.After(moment) {
					t.Fatalf("%s: after %v comes %v", text, moment, next)
				}
				for m := moment; m.Before(next); m = m.Add(time.Minute) {
					if w.Open(m) != w.Open(moment) {
						t.Fatalf("%s: between %v and %v it changes at %v", text, moment, next, m)
					}
				}
				moment = next
			}
		}
	}
}
