// Package prometheus makes one Prometheus equal to the desired rules and targets:
// its files, its reload, and the look at what it then shows. It also runs
// Prometheus as a child process, for those who do not bring their own.
//
// It is longer than others because files, reload and the look at what came of them are one adapter:
// each is right only with what the others know.
package prometheus

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"

	"github.com/wagglehq/waggle/monitor/internal/alert"
	"github.com/wagglehq/waggle/monitor/internal/scrape"
	"github.com/wagglehq/waggle/pkg/atomicfile"
	"github.com/wagglehq/waggle/pkg/catalog"
)

// Server is one Prometheus, ours or not: the folder that it reads and the URL at
// which it answers. It belongs to one goroutine, except for Targets.
type Server struct {
	dir      string
	client   *client
	checker  *Checker
	log      *slog.Logger
	reloaded func(result string)

	// good and goodPools are the files of rules and pools that Prometheus was last seen to have
	// loaded, goodRules are the rules in the first, and differing is what was said of those that it shows otherwise.
	good, goodPools []byte
	goodRules       []alert.Rule
	differing       map[string]string
	// verified is when that was, so that it is looked at again now and then.
	verified time.Time
	// printed are the expressions of the last look as Prometheus' parser prints them: nearly
	// all are the same the next time, and parsing is most of what a look takes.
	printed map[string]string
	// seen are the rules that this pass has seen already, with how they fare; nil if it has not
	// looked: with many rules a look takes longer than what else a pass does.
	seen map[string]shownRule
	// stale says that a foreign Prometheus has not read the present prometheus.yml.
	foreign, stale bool
	ownRules       []byte
	password       string
	settings       Settings
}

// Options say where Prometheus is. Dir, URL, Checker and Log are needed.
type Options struct {
	// Dir is the folder of its configuration, URL its root ("http://127.0.0.1:9090").
	Dir, URL string
	Checker  *Checker
	Log      *slog.Logger
	// Settings are those by which pools are scraped.
	Settings Settings
	// Foreign says that Prometheus is not started by this process after Prepare,
	// and so must be told of a new prometheus.yml.
	Foreign bool
	// OwnRules is the content of OwnRulesFile, empty if it is not used.
	OwnRules []byte
	// AlertmanagerPassword is the content of PasswordFile, empty if it is not used.
	AlertmanagerPassword string
	// Reloaded is called after each reload with one of Results.
	Reloaded func(result string)
}

// The results of a reload. Away means that Prometheus was not there to be asked, or is
// still starting; it reads the files by itself then.
const (
	ReloadOK      = "ok"
	ReloadRefused = "refused"
	ReloadFailed  = "failed"
	ReloadAway    = "away"
)

// Results are all results of a reload.
func Results() []string { return []string{ReloadOK, ReloadRefused, ReloadFailed, ReloadAway} }

// New returns the Server; it touches nothing.
func New(o Options) *Server {
	if o.Reloaded == nil {
		o.Reloaded = func(string) {}
	}
	return &Server{dir: o.Dir, client: newClient(o.URL), checker: o.Checker, log: o.Log, foreign: o.Foreign, ownRules: o.OwnRules, password: o.AlertmanagerPassword, settings: o.Settings, reloaded: o.Reloaded}
}

// RefusedError says that Prometheus refused what its checker had let through.
// The last good rules are in force again.
type RefusedError struct {
	Reason string
	// Rules are those that it refuses, by their key, and its words; empty if it refuses
	// the whole for another reason, such as a pool.
	Rules map[string]string
}

// Error is what Prometheus answered.
func (e *RefusedError) Error() string {
	return "Prometheus refused the reload, the last good rules stay: " + e.Reason
}

func (s *Server) path(name string) string { return filepath.Join(s.dir, name) }

// Prepare writes prometheus.yml and makes sure that the other files are there, so
// that Prometheus can start on them: the last good ones if there are any. Rules
// that it would not start with are put aside as rules.yml.bad.
func (s *Server) Prepare(ctx context.Context, config []byte) error {
	noRules, err := alert.Render(nil)
	if err != nil {
		return err
	}
	noTargets, err := scrape.Render(nil)
	if err != nil {
		return err
	}
	noPools, err := RenderPools(s.settings, nil)
	if err != nil {
		return err
	}
	for name, content := range map[string][]byte{RulesFile: noRules, PoolsFile: noPools, TargetsFile: noTargets} {
		if _, err := os.Stat(s.path(name)); errors.Is(err, fs.ErrNotExist) {
			if _, err := atomicfile.Write(s.path(name), content, 0o644); err != nil {
				return err
			}
		}
	}
	if s.checker.Bin != "" {
		for name, none := range map[string][]byte{RulesFile: noRules, PoolsFile: noPools} {
			if err := s.usable(ctx, name, none); err != nil {
				return err
			}
		}
		if err := s.checker.run(ctx, "config", config); err != nil {
			return fmt.Errorf("prometheus.yml: %w", err)
		}
	}
	if s.password != "" {
		if _, err := atomicfile.Write(s.path(PasswordFile), []byte(s.password), 0o600); err != nil {
			return err
		}
	} else if err := os.Remove(s.path(PasswordFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	wroteRules, err := s.prepareOwnRules(ctx)
	if err != nil {
		return err
	}
	// Settings may bring passwords; a Prometheus that is not ours may be another user.
	mode := fs.FileMode(0o600)
	if s.foreign {
		mode = 0o644
	}
	wrote, err := atomicfile.Write(s.path(ConfigFile), config, mode)
	s.stale = (wrote || wroteRules) && s.foreign
	return err
}

// usable puts a file aside that Prometheus would not start with.
func (s *Server) usable(ctx context.Context, name string, none []byte) error {
	kind := "config"
	if name == RulesFile {
		kind = "rules"
	}
	var said *refusal
	err := s.checker.runFile(ctx, kind, s.path(name))
	if !errors.As(err, &said) {
		return err
	}
	s.log.Error("a file on disk is unusable and is put aside", "file", name, "error", err)
	if err := os.Rename(s.path(name), s.path(name+".bad")); err != nil {
		return err
	}
	_, err = atomicfile.Write(s.path(name), none, 0o644)
	return err
}

// Check returns why Prometheus' checker refuses rules, of which file is the rendered form, by their key.
func (s *Server) Check(ctx context.Context, rules []alert.Rule, file []byte) (map[string]string, error) {
	return s.checker.Check(ctx, rules, file)
}

// again is how long rules that were verified are believed to be still there.
const again = 10 * time.Second

// Wanted is what Prometheus should do: rules with their file, the file of the targets, and
// those that are in pools of their own.
type Wanted struct {
	Rules                  []alert.Rule
	RulesFile, TargetsFile []byte
	Pools                  []scrape.Pooled
}

// Apply makes Prometheus equal to what is wanted, of which Check let the rules through, and
// verifies the rules. A change of targets alone reloads nothing: Prometheus watches their
// files. A pool that comes or goes is read by a reload.
//
// It returns, by their IDs, the rules that Prometheus shows otherwise than they were
// written, and how; all others are in force.
//
// A *RefusedError leaves the last good rules and pools in force. After any other error,
// such as Prometheus being away, the files are written and will be read when it
// is back; Apply should then be called again.
func (s *Server) Apply(ctx context.Context, w Wanted) (map[string]string, error) {
	s.seen = nil
	if err := s.writeTargets(w); err != nil {
		return nil, err
	}
	poolsFile, err := RenderPools(s.settings, w.Pools)
	if err != nil {
		return nil, err
	}
	old, wroteRules, err := s.write(RulesFile, w.RulesFile, s.good)
	if err != nil {
		return nil, err
	}
	oldPools, wrotePools, err := s.write(PoolsFile, poolsFile, s.goodPools)
	if err != nil {
		return nil, err
	}
	same := !wroteRules && !wrotePools && !s.stale
	loaded := same && string(s.good) == string(w.RulesFile) && string(s.goodPools) == string(poolsFile)
	if loaded && time.Since(s.verified) < again {
		return s.differing, nil
	}
	if same {
		// Prometheus may have started with these very files.
		differing, err := s.verify(ctx, w.Rules)
		switch {
		case err == nil && (len(differing) == 0 || loaded && maps.Equal(differing, s.differing)):
			s.remember(w, poolsFile, differing)
			return differing, nil
		case err != nil && !errors.As(err, new(*mismatchError)):
			return nil, err
		}
	}
	if err := s.reload(ctx, w.Rules, map[string][]byte{RulesFile: old, PoolsFile: oldPools}); err != nil {
		return nil, err
	}
	differing, err := s.verify(ctx, w.Rules)
	if err != nil {
		return nil, err
	}
	s.remember(w, poolsFile, differing)
	return differing, s.forgetTargets(w.Pools)
}

// write writes one of the files that a reload reads, and returns what is put back if
// Prometheus does not take it: what it was last seen to have loaded, or else what was there.
func (s *Server) write(name string, content, good []byte) (old []byte, wrote bool, err error) {
	if old, err = os.ReadFile(s.path(name)); err != nil {
		return nil, false, fmt.Errorf("last good %s: %w", name, err)
	}
	if good != nil {
		old = good
	}
	wrote, err = atomicfile.Write(s.path(name), content, 0o644)
	return old, wrote, err
}

// writeTargets writes the targets of all pools, which are there before a pool that is new.
func (s *Server) writeTargets(w Wanted) error {
	if _, err := atomicfile.Write(s.path(TargetsFile), w.TargetsFile, 0o644); err != nil {
		return err
	}
	for _, p := range w.Pools {
		if _, err := atomicfile.Write(s.path(poolTargets(p.Pool)), p.File, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// forgetTargets removes the targets of pools that are gone.
func (s *Server) forgetTargets(pools []scrape.Pooled) error {
	present := map[string]bool{}
	for _, p := range pools {
		present[poolTargets(p.Pool)] = true
	}
	files, err := filepath.Glob(s.path("targets-*.json"))
	for _, file := range files {
		if !present[filepath.Base(file)] {
			err = errors.Join(err, os.Remove(file))
		}
	}
	return err
}

func (s *Server) remember(w Wanted, poolsFile []byte, differing map[string]string) {
	s.good, s.goodPools, s.goodRules, s.differing, s.verified, s.stale = w.RulesFile, poolsFile, w.Rules, differing, time.Now(), false
}

// reload asks Prometheus to read its files. If it refuses, the rules to blame are looked
// for, and the old files are put back.
func (s *Server) reload(ctx context.Context, rules []alert.Rule, old map[string][]byte) error {
	err := s.ask(ctx)
	var refused *refusedError
	if !errors.As(err, &refused) {
		return err
	}
	failure := &RefusedError{Reason: refused.text}
	var blame error
	failure.Rules, blame = s.blame(ctx, rules)
	for name, content := range old {
		if _, err := atomicfile.Write(s.path(name), content, 0o644); err != nil {
			return errors.Join(failure, blame, err)
		}
	}
	if err := s.ask(ctx); err != nil {
		return errors.Join(failure, blame, fmt.Errorf("reload of the last good files: %w", err))
	}
	return errors.Join(failure, blame)
}

// ask has Prometheus read its files. The error is a *refusedError if it does not take them.
func (s *Server) ask(ctx context.Context) error {
	start := time.Now()
	err := s.client.reload(ctx)
	var refused *refusedError
	var network *net.OpError
	switch {
	case err == nil:
		s.reloaded(ReloadOK)
		s.log.Info("Prometheus reloaded", "took", time.Since(start))
		return nil
	case errors.As(err, &refused) && refused.status != http.StatusServiceUnavailable:
		s.reloaded(ReloadRefused)
		return err
	case refused != nil:
		s.reloaded(ReloadAway)
		return fmt.Errorf("reload: Prometheus is not ready: %s", refused.text)
	case errors.As(err, &network) && network.Op == "dial":
		s.reloaded(ReloadAway)
	default:
		s.reloaded(ReloadFailed)
	}
	return fmt.Errorf("reload: %w", err)
}

// mismatchError says how what Prometheus shows differs from what was written.
type mismatchError struct{ text string }

// Error names the difference.
func (e *mismatchError) Error() string { return "Prometheus does not show the rules: " + e.text }

// verify returns the rules that Prometheus shows otherwise than they should be, by their
// IDs. The error is a *mismatchError if it cannot have read our file as it is.
func (s *Server) verify(ctx context.Context, rules []alert.Rule) (map[string]string, error) {
	shown, err := s.shown(ctx)
	if err != nil {
		return nil, err
	}
	s.seen = maps.Clone(shown)
	differing, missing := map[string]string{}, 0
	before, printed := s.printed, map[string]string{}
	inPrint := func(expr string) string {
		text, ok := before[expr]
		if !ok {
			text = normal(expr)
		}
		printed[expr] = text
		return text
	}
	defer func() { s.printed = printed }()
	for _, want := range rules {
		got, ok := shown[want.ID()]
		switch {
		case !ok:
			differing[want.ID()] = "Prometheus does not show it"
			missing++
		case !equal(want, got, inPrint):
			differing[want.ID()] = "Prometheus shows it otherwise than it was written"
		}
		delete(shown, want.ID())
	}
	for name := range shown {
		return nil, &mismatchError{name + " should be gone"}
	}
	if len(rules) > 0 && missing == len(rules) {
		return nil, &mismatchError{"none is there; is " + RulesFile + " among its rule_files?"}
	}
	return differing, nil
}

// shown returns the rules of labels that Prometheus shows, by their IDs, of which
// there is one each. Another folder may hold a file of the same name, and ours may be
// mounted anywhere, so they are known by their owner.
func (s *Server) shown(ctx context.Context) (map[string]shownRule, error) {
	groups, err := s.client.rules(ctx)
	if err != nil {
		return nil, fmt.Errorf("look at the rules: %w", err)
	}
	out := map[string]shownRule{}
	for _, g := range groups {
		if filepath.Base(g.File) != RulesFile {
			continue
		}
		for _, r := range g.Rules {
			if r.Labels[alert.OwnerLabel] == g.Name {
				out[r.id()] = r
			}
		}
	}
	return out, nil
}

// id is alert.Rule.ID of what is shown.
func (r shownRule) id() string {
	if r.Type == recording {
		return alert.RecordID(r.Name, r.Labels)
	}
	return r.Name
}

// Health is how the evaluation of a rule fares.
type Health struct {
	// Evaluated is false before the first evaluation.
	Evaluated bool
	// Error is why the last one failed, in Prometheus' words; empty if it did not.
	Error string
}

// Rules returns how the rules fare that Prometheus has loaded, by their IDs.
func (s *Server) Rules(ctx context.Context) (map[string]Health, error) {
	shown := s.seen
	if s.seen = nil; shown == nil {
		var err error
		if shown, err = s.shown(ctx); err != nil {
			return nil, err
		}
	}
	out := make(map[string]Health, len(shown))
	for name, r := range shown {
		h := Health{Evaluated: r.Health == "ok" || r.Health == "err"}
		if r.Health == "err" {
			h.Error = cmp.Or(short(r.LastError), "it does not say why")
		}
		out[name] = h
	}
	return out, nil
}

// equal compares all that a rule says; expressions are equal if they are printed alike.
func equal(want alert.Rule, got shownRule, inPrint func(string) string) bool {
	return want.Record == (got.Type == recording) && seconds(want.For) == got.Duration && seconds(want.KeepFiring) == got.KeepFiringFor &&
		maps.Equal(want.Labels, got.Labels) && maps.Equal(want.Annotations, got.Annotations) &&
		(want.Expr == got.Query || inPrint(want.Expr) == inPrint(got.Query))
}

// seconds are those of a duration as Prometheus writes it; none if it is empty.
func seconds(text string) float64 {
	if text == "" {
		return 0
	}
	d, err := model.ParseDuration(text)
	if err != nil {
		return -1 // it equals none
	}
	return time.Duration(d).Seconds()
}

// normal writes an expression in one way, since Prometheus shows it in its own.
func normal(expr string) string {
	e, err := alert.Widest().ParseExpr(expr)
	if err != nil {
		return expr
	}
	return e.String()
}

// Firing are the alerts of services that fire, sorted by name. It may be called from any goroutine.
func (s *Server) Firing(ctx context.Context) ([]catalog.FiringAlert, error) {
	shown, err := s.client.alerts(ctx)
	if err != nil {
		return nil, fmt.Errorf("look at the alerts: %w", err)
	}
	out := []catalog.FiringAlert{}
	for _, a := range shown {
		if owner := a.Labels[alert.OwnerLabel]; a.State == "firing" && owner != "" {
			out = append(out, catalog.FiringAlert{Name: a.Labels[model.AlertNameLabel], Service: owner, Labels: a.Labels})
		}
	}
	slices.SortStableFunc(out, func(a, b catalog.FiringAlert) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

// Targets returns what Prometheus scrapes on behalf of labels. It may be called from any goroutine.
func (s *Server) Targets(ctx context.Context) ([]ShownTarget, error) {
	shown, err := s.client.targets(ctx)
	if err != nil {
		return nil, fmt.Errorf("look at the targets: %w", err)
	}
	return shown, nil
}

// Shows reports whether Prometheus scrapes the target as it should.
func Shows(shown []ShownTarget, want scrape.Target) bool {
	path := (&url.URL{Path: want.Labels[model.MetricsPathLabel]}).EscapedPath()
	scheme := cmp.Or(want.Labels[model.SchemeLabel], "http")
	for _, t := range shown {
		if t.Labels[model.InstanceLabel] != want.Address() || t.Labels[model.JobLabel] != want.Labels[model.JobLabel] {
			continue
		}
		url, _, _ := strings.Cut(t.ScrapeURL, "?")
		return maps.Equal(visible(t.Labels), visible(want.Labels)) &&
			t.ScrapeInterval == want.Labels[model.ScrapeIntervalLabel] && t.ScrapeTimeout == want.Labels[model.ScrapeTimeoutLabel] &&
			url == scheme+"://"+want.Address()+path
	}
	return false
}

// visible are the labels of a target that its series have.
func visible(labels map[string]string) map[string]string {
	out := maps.Clone(labels)
	maps.DeleteFunc(out, func(name, _ string) bool { return strings.HasPrefix(name, model.ReservedLabelPrefix) })
	return out
}
