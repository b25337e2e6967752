package render

import (
	"slices"
	"strconv"
	"strings"

	"github.com/haproxytech/client-native/v6/models"

	"github.com/wagglehq/waggle/proxy/internal/haproxy/file"
)

// MeasuredFormat is the line of a measured request: for how many it stands, its backend and
// server, the times in milliseconds that it waited for a task, for the connection and for the
// head of the answer (-1: not reached), and the status.
const MeasuredFormat = `%[var(txn.measured)] %b %s %Tw %Tc %Tr %ST`

// The profiles of what takes lines of the log: the output does not take those of measured
// requests, the socket nothing else.
const (
	saidProfile     = "waggle_said"
	measuredProfile = "waggle_measured"
)

// What is measured costs much more than what is not: the line wakes who reads it. So all
// requests are as long as they are few, one of tier.one as long as they are fewer than below
// per second, and some of very many; chance chooses. A hundred lines per second or so is what
// there is at most.
type tier struct{ below, one int }

// LargestShare is for how many requests a measured one stands at most.
const LargestShare = 1024

func tiers() []tier { return []tier{{100, 1}, {1600, 16}, {12800, 128}, {0, LargestShare}} }

// isBelow holds while there are fewer requests per second.
func isBelow(rate int) file.Test {
	return file.Is(file.Always("fe_req_rate"), bare("lt", strconv.Itoa(rate))...)
}

// isOneOf holds for one request of so many, by chance.
func isOneOf(many int) file.Test {
	return file.Is(file.Always("rand("+strconv.Itoa(many)+")"), bare("eq", "0")...)
}

// measures says that HAProxy sends lines: before 3.4 it measures nothing.
func (s Settings) measures() bool { return s.MeasuredSocket != "" && !s.Older }

// measure sends lines of requests when the head of their answer is there.
func (r *rules) measure(s Settings) {
	if !s.measures() {
		return
	}
	// Not in the global section: backends would have the profile too, and HAProxy 3.4.7 frees
	// its name with each of them that is deleted, so that it crashes at the next.
	out := output()
	r.add(lineOf("no", "log"),
		lineOf("log", out.Address, "format", out.Format, "profile", saidProfile, out.Facility, out.Level),
		file.New(append(append(bare("log"), file.Q(file.Socket+s.MeasuredSocket)), bare("format", out.Format, "profile", measuredProfile, out.Facility, out.Level)...)...))
	// Of very many, most pay for no more than the first rule.
	all := tiers()
	many := len(all) - 1
	r.add(r.answer(models.HTTPAfterResponseRule{Type: "allow"}, file.If(file.Not(isBelow(all[many-1].below)), file.Not(isOneOf(all[many].one)))))
	for i, t := range all {
		var tests []file.Test
		if i > 0 && i < many {
			tests = append(tests, isOneOf(t.one))
		}
		if i < many {
			tests = append(tests, isBelow(t.below))
		}
		if i > 0 {
			tests = append(tests, file.Not(isBelow(all[i-1].below)))
		}
		r.add(r.answer(models.HTTPAfterResponseRule{Type: "set-var", VarScope: "txn", VarName: "measured", VarExpr: "int(" + strconv.Itoa(t.one) + ")"}, file.If(tests...)))
	}
	r.add(r.answer(models.HTTPAfterResponseRule{Type: "do-log"}, file.If(found("measured"))))
}

// said are lines of the operator's, of which one that names an output of the log does not bring
// the lines of measured requests there.
func (s Settings) said(lines []string) []string {
	if !s.measures() {
		return lines
	}
	out := slices.Clone(lines)
	for i, text := range out {
		if words := strings.Fields(text); len(words) > 2 && words[0] == "log" && !slices.Contains(words, "profile") {
			// The profile comes behind what else is said of an output, and before the facility.
			at := 2
			for at+2 < len(words) && slices.Contains([]string{"len", "format", "sample"}, words[at]) {
				at += 2
			}
			out[i] = strings.Join(slices.Insert(words, at, "profile", saidProfile), " ")
		}
	}
	return out
}

// measuredProfiles are the sections of the two profiles.
func measuredProfiles(s Settings) []*file.Section {
	if !s.measures() {
		return nil
	}
	return []*file.Section{
		file.NewSection(s.Dir, "log-profile", saidProfile, "", lineOf("on", "http-after-res", "drop")),
		file.NewSection(s.Dir, "log-profile", measuredProfile, "",
			file.New(append(bare("on", "http-after-res", "format"), file.Q(MeasuredFormat))...), lineOf("on", "any", "drop")),
	}
}
