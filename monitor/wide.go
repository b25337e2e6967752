package monitor

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"

	"github.com/wagglehq/waggle/monitor/internal/alert"
	"github.com/wagglehq/waggle/monitor/internal/prometheus"
	"github.com/wagglehq/waggle/monitor/internal/scrape"
	"github.com/wagglehq/waggle/monitor/internal/settings"
	"github.com/wagglehq/waggle/monitor/judge"
	"github.com/wagglehq/waggle/pkg/app"
)

// Sources are where more can be set than flags offer.
type Sources struct {
	// Environ are variables as NAME=text, and Given the names of the flags that were set.
	Environ []string
	Given   map[string]bool
	// BaseFile is a configuration of Prometheus that is merged; empty for none.
	BaseFile string
	// ConfigsDir has files of scrape jobs, SecretsDir those of shortcuts.
	ConfigsDir, SecretsDir string
	// ScrapeSecretsDir is where Prometheus finds the secrets that labels have it send.
	ScrapeSecretsDir string
	// Shortcuts is a built-in pack, ShortcutsFile what is added to it.
	Shortcuts, ShortcutsFile string
}

// Limits bound what one service may cost the others; 0 and empty are no limit.
type Limits struct {
	// Samples and Body are those of one answer of a target, Alerts those of one rule.
	Samples int
	Body    string
	Alerts  int
	// MaxSamples, MaxBody and MaxAlerts are the most that a label may ask for instead; 0 and
	// empty are those above.
	MaxSamples int
	MaxBody    string
	MaxAlerts  int
	// Interval is the shortest that a label may ask for.
	Interval time.Duration
	// Storage is how much our Prometheus keeps.
	Storage string
}

// wideFlags declares the flags of Sources and Limits, and of labels on targets.
func (c *Config) wideFlags(fs *flag.FlagSet) {
	fs.StringVar(&c.Sources.BaseFile, "base-file", "", "configuration of Prometheus that is merged into monitor's: lists are joined, maps merged, single values replaced; a variable wins over it, a label over both. Paths in it are relative to its folder")
	fs.StringVar(&c.Sources.ConfigsDir, "configs-dir", "/run/secrets", "folder of files scrape_*, each a list of scrape jobs as Prometheus has them; one that cannot be used is left out")
	fs.StringVar(&c.Sources.SecretsDir, "secrets-dir", "/run/secrets", "folder of files alertif-* with shortcuts, which win over those of shortcuts-file")
	fs.StringVar(&c.Sources.ScrapeSecretsDir, "scrape-secrets-dir", "/run/secrets", "folder, as Prometheus sees it, of the secrets dfm_auth_* that it sends to tasks whose labels ask for that")
	fs.StringVar(&c.Sources.Shortcuts, judge.Shortcuts, alert.DefaultPack, "built-in shortcuts: waggle, or classic for the expressions of Docker Flow Monitor with their traps")
	fs.StringVar(&c.Sources.ShortcutsFile, "shortcuts-file", "/etc/dfm/shortcuts.yaml", "file of shortcuts that add to the built-in ones, or replace some; it need not be there")
	fs.StringVar(&c.ServiceLabels, judge.ServiceLabels, "", "labels of services, without com.df., that their targets have too, separated by commas; what Prometheus cannot have in a name becomes _")
	fs.StringVar(&c.NodeLabels, judge.NodeLabels, "", "labels of nodes or their engines, without com.df., that targets on them have, or id, hostname, role, state, availability, address, separated by commas")
	fs.IntVar(&c.Limits.Samples, judge.SampleLimit, judge.DefaultSampleLimit, "samples in one answer of a target of a service; beyond it the target is down and its service degraded; 0 is no limit")
	fs.StringVar(&c.Limits.Body, judge.BodyLimit, judge.DefaultBodyLimit, "size of one answer of a target of a service, such as 50MB; empty is no limit")
	fs.IntVar(&c.Limits.Alerts, judge.AlertLimit, judge.DefaultAlertLimit, "alerts that one rule of a service may have at once; beyond it the rule fails and its service is degraded; 0 is no limit")
	fs.IntVar(&c.Limits.MaxSamples, judge.MaxSamples, 0, "the most that the label scrapeSampleLimit may say; 0: sample-limit")
	fs.StringVar(&c.Limits.MaxBody, judge.MaxBody, "", "the most that the label scrapeBodyLimit may say; empty: body-limit")
	fs.IntVar(&c.Limits.MaxAlerts, judge.MaxAlerts, 0, "the most that the label alertLimit may say; 0: alert-limit")
	fs.DurationVar(&c.Limits.Interval, judge.MinInterval, judge.DefaultMinInterval, "shortest scrape interval that a label may ask for")
	fs.StringVar(&c.Limits.Storage, "retention-size", "", "how much our Prometheus keeps, such as 20GB; empty: as much as the time allows")
}

// wide is what sources say beside flags.
type wide struct {
	more    settings.Tree
	set     settings.Set
	flags   []settings.Flag
	storage string
	prefix  string
	pack    *alert.Pack
	// own are the names of the shortcuts of the operator's own.
	own string
	// features are those of Prometheus.
	features string
	// by are the variables ARG_* by which settings were set, by the names of their flags.
	by map[string]string
}

// asSet puts the variable by which a setting at fault was set in front of what is wrong, which
// names its flag.
func (w wide) asSet(c Config, err error) error {
	var at *judge.SettingError
	if !errors.As(err, &at) {
		return err
	}
	for _, variable := range []string{w.by[at.Setting], app.Variable(at.Setting), app.Variable(at.Setting) + "_FILE"} {
		if variable != "" && slices.ContainsFunc(c.Sources.Environ, func(entry string) bool { return strings.HasPrefix(entry, variable+"=") }) {
			return fmt.Errorf("%s: %w", variable, err)
		}
	}
	return err
}

// resolve reads all sources, and puts into the configuration what it has flags for. The error
// names the settings that cannot be meant, or clash.
func (c *Config) resolve(ctx context.Context, checker *prometheus.Checker, log *slog.Logger) (wide, error) {
	var w wide
	c.Sources.Shortcuts = cmp.Or(c.Sources.Shortcuts, alert.DefaultPack)
	if !c.Sources.Given[judge.MinInterval] {
		c.Limits.Interval = cmp.Or(c.Limits.Interval, judge.DefaultMinInterval)
	}
	args, err := settings.ReadArgs(c.Sources.Environ)
	if err != nil {
		return w, err
	}
	if w.set, err = settings.Variables(c.Sources.Environ); err != nil {
		return w, err
	}
	outside, err := settings.ReadTargets(c.Sources.Environ)
	if err != nil {
		return w, err
	}
	if err := c.takeArgs(&w, args); err != nil {
		return w, err
	}
	var base settings.Tree
	if c.Sources.BaseFile != "" {
		if base, err = settings.ReadBase(c.Sources.BaseFile); err != nil {
			return w, &judge.SettingError{Setting: "base-file", Err: err}
		}
		if err := checker.Config(ctx, base); err != nil {
			return w, judge.Wrong("base-file", " %s: %w", c.Sources.BaseFile, err)
		}
	}
	if err := c.intervals(w.set, base); err != nil {
		return w, err
	}
	if w.pack, w.own, err = c.shortcuts(); err != nil {
		return w, err
	}
	jobs := jobs{}
	for _, one := range []struct {
		from string
		tree settings.Tree
	}{{"monitor's own", c.ownJobs()}, {"base-file " + c.Sources.BaseFile, base}, {"SERVICE_NAME_n", outside.Jobs()}, {"SCRAPE_CONFIGS_n__JOB_NAME", w.set.Tree}} {
		if err := jobs.add(one.from, one.tree); err != nil {
			return w, err
		}
	}
	w.more = settings.Merge(base, outside.Jobs())
	for _, f := range settings.ReadJobs(c.Sources.ConfigsDir) {
		err := f.Err
		if err == nil {
			err = checker.Config(ctx, f.Jobs)
		}
		if err == nil {
			err = jobs.add(f.Name, f.Jobs)
		}
		if err != nil {
			log.Warn("a file with scrape jobs is left out", "file", f.Name, "error", err)
			continue
		}
		w.more = settings.Merge(w.more, f.Jobs)
	}
	w.more = settings.Merge(w.more, w.set.Tree)
	return w, nil
}

// takeArgs puts into the configuration what variables ARG_* say of what it has flags for.
func (c *Config) takeArgs(w *wide, args settings.Args) error {
	w.flags, w.by = args.Flags, map[string]string{}
	for _, f := range args.Flags {
		if f.Name == "enable-feature" {
			w.features = f.Text
		}
	}
	var errs []error
	var retention string
	take := func(flagName string, arg *settings.Flag, into *string) {
		if arg == nil {
			return
		}
		// An unset variable of a stack file leaves an empty one, which is none.
		if c.Sources.Given[flagName] && (into == &retention || *into != "") {
			errs = append(errs, fmt.Errorf("%s and %s set the same: one is enough", arg.Variable, app.Variable(flagName)))
		}
		*into, w.by[flagName] = arg.Text, arg.Variable
	}
	take("alertmanager-url", args.Alertmanagers, &c.AlertmanagerURL)
	take("external-url", args.ExternalURL, &c.ExternalURL)
	take("retention", args.Retention, &retention)
	take("retention-size", args.Size, &c.Limits.Storage)
	take("", args.Storage, &w.storage)
	take("", args.RoutePrefix, &w.prefix)
	if args.Alertmanagers != nil {
		for _, url := range list(c.AlertmanagerURL) {
			if err := prometheus.CheckAlertmanager(url); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", args.Alertmanagers.Variable, err))
			}
		}
	}
	if retention != "" {
		d, err := model.ParseDuration(retention)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", args.Retention.Variable, err))
		}
		c.Retention = time.Duration(d)
	}
	return errors.Join(errs...)
}

// intervals are those that hold where labels say nothing: by a flag, a variable, or the base
// file, in this order.
func (c *Config) intervals(set settings.Set, base settings.Tree) error {
	var errs []error
	for _, one := range []struct {
		flag, key string
		into      *time.Duration
	}{
		{judge.ScrapeInterval, "scrape_interval", &c.ScrapeInterval}, {judge.ScrapeTimeout, "scrape_timeout", &c.ScrapeTimeout},
		{"evaluation-interval", "evaluation_interval", &c.EvaluationInterval},
	} {
		variable := set.By("global", one.key)
		text, from := set.Tree.Global(one.key), variable
		if variable == "" {
			text, from = base.Global(one.key), "base-file "+c.Sources.BaseFile+": "+one.key
		}
		switch {
		case text == "", variable == "" && c.Sources.Given[one.flag]:
			continue
		case c.Sources.Given[one.flag]:
			errs = append(errs, fmt.Errorf("%s and %s set the same: one is enough", variable, app.Variable(one.flag)))
			continue
		}
		d, err := model.ParseDuration(text)
		if err != nil || d <= 0 {
			errs = append(errs, fmt.Errorf("%s %q: want a time as Prometheus writes it, such as 10s", from, text))
			continue
		}
		*one.into = time.Duration(d)
	}
	return errors.Join(errs...)
}

// shortcuts are the built-in ones with those of files, and what is told of the latter.
func (c *Config) shortcuts() (pack *alert.Pack, own string, err error) {
	read, err := settings.ReadShortcuts(c.Sources.ShortcutsFile, c.Sources.Given["shortcuts-file"] && c.Sources.ShortcutsFile != "", c.Sources.SecretsDir)
	if err != nil {
		return nil, "", &judge.SettingError{Setting: "shortcuts-file", Err: err}
	}
	var files []alert.PackFile
	for _, f := range read {
		files = append(files, alert.PackFile(f))
	}
	pack, err = alert.NewPack(c.Sources.Shortcuts, files...)
	return pack, alert.Tell(files), err
}

// jobs are the names of scrape jobs with where they come from.
type jobs map[string]string

// add names a job that there is already.
func (j jobs) add(from string, tree settings.Tree) error {
	names := settings.Jobs(tree)
	for i, name := range names {
		if other, taken := j[name]; taken {
			return fmt.Errorf("the scrape job %s stands twice, in %s and in %s: want another job_name", name, other, from)
		}
		if slices.Contains(names[:i], name) {
			return fmt.Errorf("the scrape job %s stands twice in %s: want another job_name", name, from)
		}
	}
	for _, name := range names {
		j[name] = from
	}
	return nil
}

// ownJobs are monitor's own.
func (c *Config) ownJobs() settings.Tree {
	all := []any{settings.Tree{"job_name": prometheus.Pool}}
	if c.PrometheusBin != "" {
		all = append(all, settings.Tree{"job_name": prometheus.SelfJob})
	}
	for _, name := range scrape.OwnJobs(c.OwnStack) {
		all = append(all, settings.Tree{"job_name": name})
	}
	return settings.Tree{"scrape_configs": all}
}

// blame names the variables because of which Prometheus does not take its configuration.
func (w wide) blame(ctx context.Context, c Config, checker *prometheus.Checker, err error) error {
	if len(w.set.Texts) == 0 {
		return err
	}
	names := w.set.Blame(err.Error(), func(without string) bool {
		set, errSet := settings.Variables(settings.Without(c.Sources.Environ, without))
		return errSet == nil && checker.Config(ctx, set.Tree) == nil
	})
	return fmt.Errorf("%s: %w", strings.Join(names, ", "), err)
}
