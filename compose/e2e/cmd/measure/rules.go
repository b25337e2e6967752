package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/wagglehq/waggle/compose/e2e/report"
)

// browser are headers as a browser sends them, so that rules about headers have as much to
// look at as they have in practice.
var browser = []string{
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
	"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "Accept-Language: en-US,en;q=0.5",
	"Accept-Encoding: gzip, deflate, br", "Referer: http://localhost/", "Cookie: session=0123456789abcdef0123456789abcdef",
	"Upgrade-Insecure-Requests: 1", "Sec-Fetch-Dest: document", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Site: same-origin",
}

// The rules that all requests meet, by what they are for. Those behind them, which only
// requests with something odd meet, are not reached.
var (
	ofPaths   = regexp.MustCompile(`(?m)^  http-request (set-var\(txn\.sent\)|set-var\(txn\.path\) var\(txn\.sent\)).*\n`)
	ofHeaders = regexp.MustCompile(`(?m)^  http-request (set-var\(txn\.odd\)|del-header \S+ -m reg).*\n`)
	ofLookUp  = regexp.MustCompile(`(?m)^  http-request set-var\(txn\.backend\) var\(txn\.host\),map_str.*\n`)
	ofTasks   = regexp.MustCompile(`(?m)^  http-request set-header x-forwarded-\S+ .*\n`)
	socketOf  = regexp.MustCompile(`(?m)^  stats socket \S+`)
	portOf    = regexp.MustCompile(`(?m)^  bind :\d+ `)
)

// again is how often a rule is repeated. One costs so little that what else the machine does
// would hide it.
const again = 20

// rules runs the proxy's own file beside the same file with some of its rules repeated, which
// changes nothing but what they cost.
func (m *bench) rules(ctx context.Context) error {
	if _, err := exec.LookPath("wrk"); err != nil {
		return fmt.Errorf("%w: run 'make measure-proxy', which brings it", err)
	}
	up, err := m.upstream(ctx)
	if err != nil {
		return err
	}
	defer up.stop()
	w, err := m.startWaggle(ctx, "rules", m.few, up.port, "STATS_PORT=0")
	if err != nil {
		return err
	}
	text, err := os.ReadFile(filepath.Join(m.dir, "rules", "data", "haproxy", "haproxy.cfg"))
	path, host := w.last()
	// What stands in the file lies in its folder, which stays.
	w.stop()
	if err != nil {
		return err
	}
	var rivals []*rival
	for _, repeated := range []struct {
		name string
		rule *regexp.Regexp
	}{
		{"the file as it is", nil},
		{"canonical paths", ofPaths},
		{"headers that are looked at", ofHeaders},
		{"the look-up of host and path", ofLookUp},
		{"headers for tasks", ofTasks},
	} {
		name := fmt.Sprintf("rules%d", len(rivals))
		config := socketOf.ReplaceAllString(string(text), "  stats socket "+filepath.Join(m.dir, name+".sock"))
		config = portOf.ReplaceAllString(config, "  bind :{port} ")
		if !strings.Contains(config, "{port}") {
			return errors.New("the file binds no port")
		}
		if rule := repeated.rule; rule != nil {
			if !rule.MatchString(config) {
				return fmt.Errorf("the file has no rule like %v", rule)
			}
			config = rule.ReplaceAllStringFunc(config, func(line string) string { return strings.Repeat(line, 1+again) })
		}
		alone, err := m.bare(ctx, name, config)
		if err != nil {
			return err
		}
		defer alone.stop()
		rivals = append(rivals, &rival{name: repeated.name, of: alone, path: path, host: host, headers: browser})
	}
	if err := m.race(ctx, true, rivals...); err != nil {
		return err
	}
	m.Table(fmt.Sprintf("What the rules cost that all requests meet, with %d headers and a plain path, kept alive, medians of %d slices of %v in turn", len(browser)+1, m.slices, m.slice),
		"what", fmt.Sprintf("cpu/request, rules repeated %d times", again), "cpu/request of the rules alone", "of all")
	plain := rivals[0]
	for _, r := range rivals {
		all, rules := report.Median(plain.costs), report.Median(differences(r.costs, plain.costs))/again
		m.Row(r.name, fmt.Sprintf("%.1f us", 1e6*report.Median(r.costs)), fmt.Sprintf("%.2f us", 1e6*rules), fmt.Sprintf("%.1f %%", 100*rules/all))
	}
	return nil
}

// differences are those of two that were measured in turn, slice by slice.
func differences(more, less []float64) []float64 {
	out := make([]float64, len(more))
	for i := range out {
		out[i] = more[i] - less[i]
	}
	return out
}
