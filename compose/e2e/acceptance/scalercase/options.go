package scalercase

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

var timeText = regexp.MustCompile(`^(\d+|(\d+h)?(\d+m)?(\d+s)?)$`)

// parseTime reads seconds, or a time such as 1m30s.
func parseTime(text string) (time.Duration, error) {
	if text == "" || !timeText.MatchString(text) {
		return 0, fmt.Errorf("%q: want a time such as 1m30s", text)
	}
	if n, err := strconv.Atoi(text); err == nil {
		return time.Duration(n) * time.Second, nil
	}
	return time.ParseDuration(text)
}

// span is a time in a case.
type span time.Duration

// UnmarshalJSON reads its text.
func (s *span) UnmarshalJSON(data []byte) error {
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		return err
	}
	d, err := parseTime(text)
	*s = span(d)
	return err
}

// startText is how long a task takes to run: a time, or never.
type startText struct {
	isGiven bool
	d       time.Duration
}

// UnmarshalJSON reads its text.
func (s *startText) UnmarshalJSON(data []byte) error {
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		return err
	}
	s.isGiven = true
	if text == "never" {
		s.d = never
		return nil
	}
	var err error
	s.d, err = parseTime(text)
	return err
}

// word is a number or a text that is used as it is written.
type word struct{ text *string }

// UnmarshalJSON reads either.
func (w *word) UnmarshalJSON(data []byte) error {
	var text string
	if json.Unmarshal(data, &text) != nil {
		var n json.Number
		if err := json.Unmarshal(data, &n); err != nil {
			return fmt.Errorf("%s: want a number or a text", data)
		}
		text = n.String()
	}
	w.text = &text
	return nil
}

type serviceOptions struct {
	Labels   map[string]string `json:"labels"`
	Replicas uint64            `json:"replicas"`
	Image    string            `json:"image"`
	Mode     string            `json:"mode"`
	Failure  string            `json:"failure"`
	Start    startText         `json:"start"`

	start time.Duration
}

func (o serviceOptions) image() string {
	if o.Image == "" {
		return "v1"
	}
	return o.Image
}

func (o serviceOptions) failure() string {
	if o.Failure == "" {
		return "pause"
	}
	return o.Failure
}

func (o serviceOptions) check() error {
	return errors.Join(among("mode", o.Mode, "", "replicated", "global", "replicated-job"), among("failure", o.Failure, "", "pause", "continue", "rollback"))
}

// among says what is wrong with a word that is none of those.
func among(what, text string, words ...string) error {
	for _, w := range words {
		if w == text {
			return nil
		}
	}
	return fmt.Errorf("%s %q: want one of %s", what, text, strings.Join(words, ", "))
}

type taskOptions struct {
	Running *int           `json:"running"`
	Failing *int           `json:"failing"`
	Pending *int           `json:"pending"`
	Start   startText      `json:"start"`
	Nodes   map[string]int `json:"nodes"`

	start   time.Duration
	isStart bool
}

type deployOptions struct {
	Replicas *uint64            `json:"replicas"`
	Image    string             `json:"image"`
	Labels   map[string]*string `json:"labels"`
	Failure  string             `json:"failure"`
	Silent   bool               `json:"silent"`
}

type dockerOptions struct {
	Fail     string  `json:"fail"`
	Hang     string  `json:"hang"`
	Conflict *int    `json:"conflict"`
	Service  string  `json:"service"`
	Replicas *uint64 `json:"replicas"`
	OK       bool    `json:"ok"`
}

func (o dockerOptions) check() error {
	given := 0
	for _, is := range []bool{o.Fail != "", o.Hang != "", o.Conflict != nil, o.OK} {
		if is {
			given++
		}
	}
	switch {
	case given != 1:
		return errors.New("want one of fail, hang, conflict, ok")
	case o.Conflict != nil && o.Service == "":
		return errors.New("conflict needs a service")
	}
	return errors.Join(among("fail", o.Fail, "", "update"), among("hang", o.Hang, "", "all"))
}

type proxyOptions struct {
	Open   *int `json:"open"`
	Wake   bool `json:"wake"`
	Silent bool `json:"silent"`
}

type fireOptions struct {
	By        word       `json:"by"`
	Settle    string     `json:"settle"`
	Alertname string     `json:"alertname"`
	StartsAt  *time.Time `json:"startsAt"`
	Once      bool       `json:"once"`
}

type webhookOptions struct {
	Path    string             `json:"path"`
	Method  string             `json:"method"`
	Headers map[string]*string `json:"headers"`
	Body    json.RawMessage    `json:"body"`
	Pad     string             `json:"pad"`
}

type webhookAnswer struct {
	Status any    `json:"status"`
	Body   string `json:"body"`
}

type handOptions struct {
	Service string `json:"service"`
	Scale   string `json:"scale"`
	By      word   `json:"by"`
	To      word   `json:"to"`
	Force   *bool  `json:"force"`
	ID      string `json:"id"`
	Times   int    `json:"times"`
}

type handAnswer struct {
	Status  any     `json:"status"`
	Code    string  `json:"code"`
	Want    string  `json:"want"`
	From    *uint64 `json:"from"`
	To      *uint64 `json:"to"`
	Message string  `json:"message"`
	Within  *span   `json:"within"`
}

type decisionOptions struct {
	Code   string  `json:"code"`
	Want   string  `json:"want"`
	From   *uint64 `json:"from"`
	To     *uint64 `json:"to"`
	Reason string  `json:"reason"`
}

type statusOptions struct {
	State  string `json:"state"`
	Label  string `json:"label"`
	Reason string `json:"reason"`
	Hint   string `json:"hint"`
}

type toldOptions struct {
	Service string `json:"service"`
	Status  string `json:"status"`
	Summary string `json:"summary"`
	Times   *int   `json:"times"`
}

type specOptions struct {
	Image    string  `json:"image"`
	Replicas *uint64 `json:"replicas"`
}

// isStatus reports whether a status is the one that is wanted: a number, or such as 4xx.
func isStatus(want any, got int) bool {
	switch want := want.(type) {
	case nil:
		return true
	case float64:
		return int(want) == got
	case string:
		return len(want) == 3 && strings.HasSuffix(want, "xx") && strconv.Itoa(got/100) == want[:1]
	}
	return false
}

func checkStatus(want any) error {
	switch want := want.(type) {
	case nil, float64:
		return nil
	case string:
		return among("status", want, "2xx", "4xx", "5xx")
	}
	return fmt.Errorf("status %v: want a number, or such as 4xx", want)
}

// expand returns the names that are meant: s#30 is s1 to s30.
func expand(name string) ([]string, error) {
	base, count, ok := strings.Cut(name, "#")
	if !ok {
		return []string{name}, nil
	}
	n, err := strconv.Atoi(count)
	if err != nil || n < 1 || n > 9999 {
		return nil, fmt.Errorf("%q: want a name, or such as s#30", name)
	}
	out := make([]string, n)
	for i := range out {
		out[i] = base + strconv.Itoa(i+1)
	}
	return out, nil
}
