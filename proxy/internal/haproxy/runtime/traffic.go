package runtime

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Answers are counts of answers by the class of their status.
type Answers struct{ Other, OK, Redirected, Refused, Failed int64 }

// Traffic is what a frontend, a backend or a server has done since its worker began.
type Traffic struct {
	// Proxy is the frontend or backend; Server is FrontendRow, BackendRow or a server's name.
	Proxy, Server string
	// HTTP says that Answers is known.
	HTTP    bool
	Answers Answers
	// Open and Queued are at this moment: connections to a frontend, requests of the others.
	Open, Queued int64
	// Sessions are all so far, In and Out their bytes.
	Sessions, In, Out int64
	// Connect, Response and Retried count connections to tasks that failed, answers that
	// broke off, and what was sent once more.
	Connect, Response, Retried int64
	// Servers is how many of a backend's servers take requests.
	Servers int64
}

// The servers of the rows that sum up.
const (
	FrontendRow = "FRONTEND"
	BackendRow  = "BACKEND"
)

// Worker is how the process does that takes requests.
type Worker struct {
	Info
	// Idle is the share of its time in which it had nothing to do.
	Idle float64
	// LostLines is how many lines of the log nobody took.
	LostLines int64
}

// ShowTraffic returns what the worker has done, of servers only if they are asked for.
func (c *Client) ShowTraffic(ctx context.Context, servers bool) (Worker, []Traffic, error) {
	kinds := "show stat -1 3 -1" // frontends and backends
	if servers {
		kinds = "show stat -1 7 -1"
	}
	// By one connection, so that both are of one worker.
	answers := c.exchange(ctx, []Command{show("show info"), show(kinds)})
	if err := errors.Join(answers[0].err, answers[1].err); err != nil {
		return Worker{}, nil, err
	}
	worker, err := parseWorker(answers[0].text)
	if err != nil {
		return Worker{}, nil, err
	}
	rows, err := parseTraffic(answers[1].text)
	return worker, rows, err
}

func parseWorker(text string) (Worker, error) {
	info, err := parseInfo(text)
	if err != nil {
		return Worker{}, err
	}
	w := Worker{Info: info}
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil {
			continue
		}
		switch name {
		case "Idle_pct":
			w.Idle = float64(n) / 100
		case "DroppedLogs":
			w.LostLines = n
		}
	}
	return w, nil
}

func parseTraffic(text string) ([]Traffic, error) {
	r := csv.NewReader(strings.NewReader(strings.TrimPrefix(text, "# ")))
	r.ReuseRecord = true
	head, err := r.Read()
	if err != nil {
		return nil, fmt.Errorf("haproxy: show stat: %w", err)
	}
	column := columns(head)
	for _, want := range []string{"pxname", "svname", "scur", "stot", "bin", "bout", "hrsp_5xx"} {
		if _, ok := column[want]; !ok {
			return nil, fmt.Errorf("haproxy: show stat: no column %s", want)
		}
	}
	var out []Traffic
	for {
		row, err := r.Read()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, fmt.Errorf("haproxy: show stat: %w", err)
		}
		var bad error
		number := func(name string) int64 {
			text := column.of(row, name)
			if text == "" {
				return 0 // this kind of row has no such number
			}
			n, err := strconv.ParseInt(text, 10, 64)
			if err != nil && bad == nil {
				bad = fmt.Errorf("haproxy: show stat: %s: %w", name, err)
			}
			return n
		}
		t := Traffic{
			Proxy: strings.Clone(column.of(row, "pxname")), Server: strings.Clone(column.of(row, "svname")), HTTP: column.of(row, "hrsp_5xx") != "",
			Answers: Answers{
				Other: number("hrsp_1xx") + number("hrsp_other"), OK: number("hrsp_2xx"), Redirected: number("hrsp_3xx"),
				Refused: number("hrsp_4xx"), Failed: number("hrsp_5xx"),
			},
			Open: number("scur"), Queued: number("qcur"), Sessions: number("stot"), In: number("bin"), Out: number("bout"),
			Connect: number("econ"), Response: number("eresp"), Retried: number("wretr") + number("wredis"), Servers: number("act") + number("bck"),
		}
		if bad != nil {
			return nil, bad
		}
		out = append(out, t)
	}
}
