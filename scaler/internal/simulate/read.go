package simulate

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Read reads a case as JSON: labels, replicas, start, range, delay, noise, up, down, load (a
// list of a time and a total each), for. A time is a text such as "1m30s", or seconds.
func (c *Case) Read(text []byte) error {
	in := struct {
		Labels                   map[string]string
		Replicas                 *uint64
		Start, Range, Delay, For *span
		Noise, Up, Down          *float64
		Load                     loads
	}{}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&in); err != nil {
		return err
	}
	if in.Labels != nil {
		c.Labels = in.Labels
	}
	for _, t := range []struct {
		to   *time.Duration
		from *span
	}{{&c.Start, in.Start}, {&c.Range, in.Range}, {&c.Delay, in.Delay}, {&c.For, in.For}} {
		if t.from != nil {
			*t.to = time.Duration(*t.from)
		}
	}
	if in.Replicas != nil {
		c.Replicas = *in.Replicas
	}
	if in.Noise != nil {
		c.Noise = *in.Noise
	}
	if in.Up != nil || in.Down != nil {
		c.Up, c.Down = in.Up, in.Down
	}
	if in.Load != nil {
		c.Load = in.Load
	}
	return nil
}

// ParseLoad reads a load table: "0s=1.2 5m=4.2".
func ParseLoad(text string) ([]Load, error) {
	var out []Load
	for field := range strings.FieldsSeq(text) {
		at, total, _ := strings.Cut(field, "=")
		d, err := parseSpan(at)
		n, errTotal := strconv.ParseFloat(total, 64)
		if err := errors.Join(err, errTotal); err != nil {
			return nil, fmt.Errorf("%q: want a time and a load, such as 5m=4.2", field)
		}
		out = append(out, Load{d, n})
	}
	return out, nil
}

// ParseLabels reads labels without com.df.: "scaleMin=2 scaleMax=12".
func ParseLabels(text string) (map[string]string, error) {
	out := map[string]string{}
	for field := range strings.FieldsSeq(text) {
		name, value, ok := strings.Cut(field, "=")
		if !ok {
			return nil, fmt.Errorf("%q: want a label without com.df. and its text, such as scaleMax=12", field)
		}
		out[name] = value
	}
	return out, nil
}

// span is a time as it stands in a case.
type span time.Duration

func parseSpan(text string) (time.Duration, error) {
	if seconds, err := strconv.ParseUint(text, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second, nil
	}
	return time.ParseDuration(text)
}

// UnmarshalJSON reads a text or seconds.
func (s *span) UnmarshalJSON(data []byte) error {
	text := string(data)
	if data[0] == '"' {
		if err := json.Unmarshal(data, &text); err != nil {
			return err
		}
	}
	d, err := parseSpan(text)
	*s = span(d)
	return err
}

// loads is a load table as it stands in a case.
type loads []Load

// UnmarshalJSON reads pairs of a time and a total.
func (l *loads) UnmarshalJSON(data []byte) error {
	var pairs [][]json.RawMessage
	if err := json.Unmarshal(data, &pairs); err != nil {
		return err
	}
	*l = loads{}
	for i, pair := range pairs {
		var at span
		var total float64
		if len(pair) != 2 {
			return fmt.Errorf("load %d: want a time and a total", i+1)
		}
		if err := errors.Join(json.Unmarshal(pair[0], &at), json.Unmarshal(pair[1], &total)); err != nil {
			return fmt.Errorf("load %d: %w", i+1, err)
		}
		*l = append(*l, Load{time.Duration(at), total})
	}
	return nil
}
