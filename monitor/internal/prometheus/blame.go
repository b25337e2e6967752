package prometheus

import (
	"context"
	"errors"

	"github.com/wagglehq/waggle/monitor/internal/alert"
	"github.com/wagglehq/waggle/pkg/atomicfile"
)

// maxTrials bounds the reloads of one search for rules that are refused.
const maxTrials = 100

// trial looks for the rules because of which Prometheus refuses to load.
type trial struct {
	server *Server
	// rules are those that were refused as a whole, and good those that were last in
	// force, by their IDs.
	rules []alert.Rule
	good  map[string]alert.Rule
	left  int
	found map[string]string
}

// blame returns, by their key, the rules that Prometheus refuses, and its words. It leaves
// a file of its own behind.
//
// Those that are in force already are above suspicion and stay loaded all the time, and of
// one that has changed the former one does, so that the alerts of others go on.
func (s *Server) blame(ctx context.Context, rules []alert.Rule) (map[string]string, error) {
	t := trial{server: s, rules: rules, good: map[string]alert.Rule{}, left: maxTrials, found: map[string]string{}}
	for _, r := range s.goodRules {
		t.good[r.ID()] = r
	}
	var suspects []alert.Rule
	for _, r := range rules {
		if was, ok := t.good[r.ID()]; !ok || was.Key() != r.Key() {
			suspects = append(suspects, r)
		}
	}
	refused, err := t.refuses(ctx, nil)
	if err != nil || refused != "" {
		return nil, err // it is no fault of theirs
	}
	return t.found, t.halve(ctx, suspects)
}

// halve finds the refused ones among suspects by loading halves of them.
func (t *trial) halve(ctx context.Context, suspects []alert.Rule) error {
	if len(suspects) == 0 || t.left == 0 {
		return nil
	}
	refused, err := t.refuses(ctx, suspects)
	if err != nil || refused == "" {
		return err
	}
	if len(suspects) == 1 {
		t.found[suspects[0].Key()] = refused
		return nil
	}
	half := len(suspects) / 2
	return errors.Join(t.halve(ctx, suspects[:half]), t.halve(ctx, suspects[half:]))
}

// refuses returns Prometheus' words if it refuses the rules with these suspects and none
// of the others. It is empty if it takes them.
func (t *trial) refuses(ctx context.Context, suspects []alert.Rule) (string, error) {
	t.left--
	tried := map[string]bool{}
	for _, r := range suspects {
		tried[r.ID()] = true
	}
	var rules []alert.Rule
	for _, r := range t.rules {
		if was, ok := t.good[r.ID()]; !tried[r.ID()] && ok {
			rules = append(rules, was)
		} else if tried[r.ID()] {
			rules = append(rules, r)
		}
	}
	file, err := alert.Render(rules)
	if err != nil {
		return "", err
	}
	if _, err := atomicfile.Write(t.server.path(RulesFile), file, 0o644); err != nil {
		return "", err
	}
	err = t.server.ask(ctx)
	var refused *refusedError
	if errors.As(err, &refused) {
		return refused.text, nil
	}
	return "", err
}
