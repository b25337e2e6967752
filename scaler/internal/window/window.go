// Package window reads and asks windows of time such as "Mon-Fri 07:30-19:00
// Europe/Berlin". It is pure.
package window

import (
	"errors"
	"fmt"
	"strings"
	"time"
	_ "time/tzdata" // the image of the scaler has no files of zones
)

// Window is open on some days from a time of day to another one.
type Window struct {
	days [7]bool // from Sunday
	// from and to are minutes of the day; to is not after from if the window ends on the
	// day after the one on which it opens.
	from, to int
	zone     *time.Location
}

const dayLength = 24 * 60

func names() []string { return []string{"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"} }

// Parse reads [DAYS] HH:MM-HH:MM [ZONE]. The error says what is wrong.
func Parse(text string) (Window, error) {
	words := strings.Fields(text)
	w := Window{zone: time.UTC, days: [7]bool{true, true, true, true, true, true, true}}
	if len(words) > 0 && !strings.Contains(words[0], ":") {
		days, err := parseDays(words[0])
		if err != nil {
			return w, err
		}
		w.days, words = days, words[1:]
	}
	if len(words) == 0 {
		return w, errors.New("there is no time of day")
	}
	if len(words) > 2 {
		return w, fmt.Errorf("%q is too much", words[2])
	}
	from, to, ok := strings.Cut(words[0], "-")
	if !ok {
		return w, fmt.Errorf("%q has no end", words[0])
	}
	var err error
	if w.from, err = parseTime(from); err != nil {
		return w, err
	}
	if w.to, err = parseTime(to); err != nil {
		return w, err
	}
	switch w.from {
	case dayLength:
		return w, errors.New("a window cannot begin at 24:00")
	case w.to:
		return w, errors.New("it ends when it begins")
	}
	if len(words) == 2 {
		// The name Local would be that of the machine, which is nobody's.
		if w.zone, err = time.LoadLocation(words[1]); err != nil || strings.EqualFold(words[1], "local") {
			return w, fmt.Errorf("there is no time zone %q", words[1])
		}
	}
	return w, nil
}

func parseDays(text string) ([7]bool, error) {
	var days [7]bool
	for part := range strings.SplitSeq(text, ",") {
		first, last, isRange := strings.Cut(part, "-")
		if !isRange {
			last = first
		}
		from, to := day(first), day(last)
		if from < 0 || to < 0 {
			return days, fmt.Errorf("there is no day %q", part)
		}
		for d := from; ; d = (d + 1) % 7 {
			days[d] = true
			if d == to {
				break
			}
		}
	}
	return days, nil
}

func day(name string) int {
	for i, n := range names() {
		if strings.EqualFold(n, name) {
			return i
		}
	}
	return -1
}

func parseTime(text string) (int, error) {
	var hour, minute int
	if len(text) != 5 || text[2] != ':' {
		return 0, fmt.Errorf("%q is no time of day such as 07:30", text)
	}
	for _, c := range text[:2] + text[3:] {
		if c < '0' || c > '9' {
			return 0, fmt.Errorf("%q is no time of day such as 07:30", text)
		}
	}
	hour, minute = int(text[0]-'0')*10+int(text[1]-'0'), int(text[3]-'0')*10+int(text[4]-'0')
	if hour > 24 || minute > 59 || hour == 24 && minute > 0 {
		return 0, fmt.Errorf("there is no time of day %s", text)
	}
	return hour*60 + minute, nil
}

// Open reports whether the window is open at a moment: the times are those of the clock
// on the wall there.
func (w Window) Open(at time.Time) bool {
	local := at.In(w.zone)
	minute, today := local.Hour()*60+local.Minute(), int(local.Weekday())
	if w.from < w.to {
		return w.days[today] && minute >= w.from && minute < w.to
	}
	return w.days[today] && minute >= w.from || w.days[(today+6)%7] && minute < w.to
}

// Next is the first moment after at when it opens or closes, or may do so: on some days
// nothing happens at these times.
func (w Window) Next(at time.Time) time.Time {
	const days = 2
	if w.offset(at) != w.offset(at.Add((days+1)*24*time.Hour)) {
		return w.nextMinute(at, days*24*60)
	}
	local := at.In(w.zone)
	var next time.Time
	for offset := range days {
		for _, minute := range []int{w.from, w.to} {
			t := time.Date(local.Year(), local.Month(), local.Day()+offset, 0, minute, 0, 0, w.zone)
			if t.After(at) && (next.IsZero() || t.Before(next)) {
				next = t
			}
		}
	}
	return next
}

// nextMinute is Next about a change of the clock, when times of day exist twice or not at
// all: each minute is looked at, up to so many.
func (w Window) nextMinute(at time.Time, most int) time.Time {
	next := at.Truncate(time.Minute)
	for range most {
		if next = next.Add(time.Minute); w.Open(next) != w.Open(at) {
			break
		}
	}
	return next
}

func (w Window) offset(t time.Time) int {
	_, offset := t.In(w.zone).Zone()
	return offset
}
