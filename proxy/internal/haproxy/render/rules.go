package render

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/haproxytech/client-native/v6/models"

	"github.com/wagglehq/waggle/proxy/internal/haproxy/file"
)

// rules are the lines of a section that is being made. Each feature adds its own; that they
// stand in the order in which HAProxy's makers write them is seen to at the end.
type rules struct {
	*library
	lines []file.Line
}

func (r *rules) add(lines ...file.Line) { r.lines = append(r.lines, lines...) }

func (r *rules) onRequest(rule models.HTTPRequestRule, when file.When, formats ...file.Format) {
	r.add(r.request(rule, when, formats...))
}

// set writes what an expression finds into a variable of the transaction.
func (r *rules) set(variable, expression string, when file.When) {
	r.onRequest(models.HTTPRequestRule{Type: "set-var", VarScope: "txn", VarName: variable, VarExpr: expression}, when)
}

// deny refuses requests.
func (r *rules) deny(status int, when file.When) {
	r.onRequest(models.HTTPRequestRule{Type: "deny", DenyStatus: pointer(int64(status))}, when)
}

// del removes a header from requests.
func (r *rules) del(header string, when file.When) {
	r.onRequest(models.HTTPRequestRule{Type: "del-header", HdrName: header}, when)
}

// delLike removes the headers from requests whose names fit a regular expression.
func (r *rules) delLike(expression string, when file.When) {
	r.onRequest(models.HTTPRequestRule{Type: "del-header", HdrName: file.Q(expression).String(), HdrMethod: "reg"}, when)
}

// delAlike removes a header from requests, and those that become the same one where
// dashes and underscores are not told apart, as with CGI.
func (r *rules) delAlike(name string) {
	if !strings.ContainsAny(name, "-_") {
		r.del(name, always)
		return
	}
	r.delLike("^"+strings.NewReplacer("-", "[-_]", "_", "[-_]").Replace(regexp.QuoteMeta(name))+"$", always)
}

// answerHeader changes a header of all answers; verb is set, add or del.
func (r *rules) answerHeader(verb, name string, value file.Word, when file.When) {
	r.add(r.answer(models.HTTPAfterResponseRule{Type: verb + "-header", HdrName: name, HdrFormat: value.String()}, when))
}

// use leads requests to a backend.
func use(backend string, when file.When) file.Line {
	return file.New(append([]file.Word{file.W("use_backend"), file.W(backend)}, when.Words()...)...)
}

// lineOf is a line of words that are written as they are.
func lineOf(words ...string) file.Line { return file.New(bare(words...)...) }

func bare(words ...string) []file.Word {
	out := make([]file.Word, len(words))
	for i, w := range words {
		out[i] = file.W(w)
	}
	return out
}

// always is the condition that holds.
var always file.When //nolint:gochecknoglobals // a constant that Go cannot have

// withoutTLS and withTLS tell how a client came.
func withTLS() file.Test    { return file.Is(file.Always("ssl_fc")) }
func withoutTLS() file.Test { return file.Not(withTLS()) }

// found holds if a variable of the transaction has been set.
func found(variable string) file.Test { return file.Found(file.Variable(variable)) }

// The order of the kinds of lines within a section. What is of no kind stands in raw's place.
const raw = "*"

func frontendOrder() []string {
	return []string{"disabled", "bind", "log", "log-format", "error-log-format", "option", "timeout", "tcp-request", "stats", "http-request", "unique-id-format", raw, "use_backend", "default_backend", "http-after-response"}
}

func backendOrder() []string {
	return []string{"hash-type", "balance", "option", "filter", "http-check", "timeout", "compression", "http-reuse", "http-request", "cookie", "stick-table", "retries", "http-response", "retry-on", "http-after-response", raw}
}

// ordered are the lines in an order; those of one kind stay as they came.
func (r *rules) ordered(order []string) []file.Line {
	place := func(l file.Line) int {
		for _, w := range l.Words[:min(2, len(l.Words))] {
			// What comes behind "no" tells the kind.
			if at := slices.Index(order, w.String()); at >= 0 && !l.Raw() {
				return at
			} else if w.String() != "no" {
				break
			}
		}
		return slices.Index(order, raw)
	}
	slices.SortStableFunc(r.lines, func(a, b file.Line) int { return place(a) - place(b) })
	return r.lines
}

const kindFrontend = "frontend"

func rawLines(texts []string) []file.Line {
	out := make([]file.Line, len(texts))
	for i, text := range texts {
		out[i] = file.Raw(text)
	}
	return out
}

func seconds(d time.Duration) string { return strconv.FormatInt(int64(d/time.Second), 10) }
