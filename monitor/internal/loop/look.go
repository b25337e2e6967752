package loop

import (
	"context"
	"fmt"
	"time"

	"github.com/wagglehq/waggle/monitor/internal/alert"
	"github.com/wagglehq/waggle/monitor/internal/desired"
	"github.com/wagglehq/waggle/monitor/internal/truth"
)

const (
	// lacking and lackless are how long it is believed that a rule lacks something, and that
	// it lacks nothing.
	lacking, lackless = time.Minute, 10 * time.Minute
	// maxQuestions bounds what Prometheus is asked in one pass, and asking how long that may take.
	maxQuestions = 200
	asking       = 2 * time.Second
	// ailing is how soon a rule that fails, or of which nothing was asked yet, is looked at
	// again; it takes a pass.
	ailing = 5 * time.Second
)

// look is what is known of rules after they have been loaded.
type look struct {
	prom Prometheus
	// every is how often rules are evaluated.
	every time.Duration
	// rules are those that were seen, by ID and expression.
	rules map[string]*seenRule
	// known are the answers of the last while.
	known truth.Answers
	asked time.Time
	// pause grows while there are rules that have not been evaluated.
	pause time.Duration
}

// seenRule is one rule since it was first seen to be evaluated.
type seenRule struct {
	first, told time.Time
	words       []string
}

// due reports whether what is said of the rule must be found out anew.
func (r *seenRule) due(now time.Time) bool {
	if len(r.words) > 0 {
		return now.Sub(r.told) >= lacking
	}
	return now.Sub(r.told) >= lackless
}

func newLook(prom Prometheus, every time.Duration) *look {
	return &look{prom: prom, every: every, rules: map[string]*seenRule{}, known: truth.Answers{}}
}

// verdict is what keeps rules in force from doing their work, by their IDs.
type verdict struct {
	// failing says why the evaluation fails, doubts what is not there to be looked at.
	failing map[string]string
	doubts  map[string][]string
	// again is when to look again; 0 leaves that to the next pass.
	again time.Duration
}

func (v *verdict) soon(d time.Duration) {
	if d = max(d, 100*time.Millisecond); v.again == 0 || d < v.again {
		v.again = d
	}
}

// at looks at the rules in force. unseen are the services, by ID, whose targets are not
// all scraped yet.
func (l *look) at(ctx context.Context, s desired.State, unseen map[string]bool) (verdict, error) {
	v := verdict{failing: map[string]string{}, doubts: map[string][]string{}}
	health, err := l.prom.Rules(ctx)
	if err != nil {
		return v, fmt.Errorf("look at the rules: %w", err)
	}
	now := time.Now()
	if now.Sub(l.asked) >= lacking {
		l.known, l.asked = truth.Answers{}, now
	}
	ctx, cancel := context.WithTimeout(ctx, asking)
	defer cancel()
	before, questions, waiting := l.rules, maxQuestions, false
	l.rules = map[string]*seenRule{}
	for _, svc := range s.Services {
		for _, r := range svc.Rules {
			h := health[r.ID()]
			if h.Error != "" {
				v.failing[r.ID()] = h.Error
				v.soon(ailing)
			}
			if !h.Evaluated {
				waiting = true
				continue
			}
			key := r.ID() + "\x00" + r.Expr
			seen, ok := before[key]
			if !ok || unseen[svc.ID] && seen.told.IsZero() {
				seen = &seenRule{first: now}
			}
			l.rules[key] = seen
			// What a rule looks at needs some scrapes and evaluations to come about.
			if left := seen.first.Add(3 * max(l.every, interval(svc))).Sub(now); left > 0 {
				v.soon(left)
				continue
			}
			if seen.due(now) && !l.tell(ctx, r, seen, now, &questions) && seen.told.IsZero() {
				v.soon(ailing)
			}
			if len(seen.words) > 0 {
				v.doubts[r.ID()] = seen.words
			}
		}
	}
	if l.pause = min(2*l.pause+time.Second, max(l.every, time.Second)); waiting {
		v.soon(l.pause)
	} else {
		l.pause = 0
	}
	return v, nil
}

// interval is how often a service is scraped; 0 if it is not.
func interval(svc desired.Service) (rarest time.Duration) {
	for _, job := range svc.Jobs {
		rarest = max(rarest, job.Interval)
	}
	return rarest
}

// tell finds out what one rule lacks. It reports whether that is known; if it is not, what
// was said before stands.
func (l *look) tell(ctx context.Context, r alert.Rule, seen *seenRule, now time.Time, questions *int) bool {
	for {
		words, open := truth.Tell(r.Expr, l.known)
		if len(open) == 0 {
			seen.words, seen.told = words, now
			return true
		}
		for _, q := range open {
			if *questions == 0 {
				return false
			}
			*questions--
			values, err := l.prom.Ask(ctx, q)
			if err != nil {
				return false
			}
			l.known[q] = values
		}
	}
}
