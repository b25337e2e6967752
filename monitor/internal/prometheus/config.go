package prometheus

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"path"
	"slices"
	"time"

	"github.com/prometheus/common/model"
	yaml "go.yaml.in/yaml/v3"

	"github.com/wagglehq/waggle/pkg/app"

	"github.com/wagglehq/waggle/monitor/internal/scrape"
	"github.com/wagglehq/waggle/monitor/internal/settings"
)

// The files in the folder that Prometheus reads. Their names are relative to
// each other, so that the folder may be mounted anywhere.
const (
	ConfigFile  = "prometheus.yml"
	RulesFile   = "rules.yml"
	TargetsFile = "targets.json"
	// PoolsFile has the scrape jobs of targets that Prometheus must be told more of than it can
	// be told of each alone.
	PoolsFile = "pools.yml"
	// OwnRulesFile holds the rules about Waggle itself.
	OwnRulesFile = "waggle.yml"
	// PasswordFile holds the password that Alertmanager asks for.
	PasswordFile = "alertmanager-password"
)

// Pool is the scrape job that holds the targets of all services, but for those of other pools,
// whose names begin with it and go on in parentheses.
const Pool = "waggle-services"

// SelfJob is the scrape job of our Prometheus itself.
const SelfJob = "prometheus"

// adminPort is where Waggle's own components serve their metrics.
const adminPort = 8080

// Settings are the part of Prometheus' configuration that no label decides.
type Settings struct {
	ScrapeInterval     time.Duration
	ScrapeTimeout      time.Duration
	EvaluationInterval time.Duration
	// Alertmanagers are URLs. "tasks+http://SERVICE:PORT" means the tasks of a service, as
	// Tasks writes them, "dns+http://NAME:PORT" every address of the name.
	Alertmanagers []string
	// AlertmanagerPassword sends them the content of PasswordFile.
	AlertmanagerPassword bool
	// OwnStack is the name of the stack whose listener, proxy, monitor and scaler
	// are scraped; empty for none.
	OwnStack string
	// OwnRules loads the rules about these, too.
	OwnRules bool
	// Self is Prometheus' own host and port, as it reaches itself; empty when it
	// is not scraped. SelfPath is the path before /metrics.
	Self, SelfPath string
	// SampleLimit and BodyLimit bound what a target of a service may answer at once; zero
	// and empty are no limits.
	SampleLimit int
	BodyLimit   string
	// SecretsDir is where Prometheus finds the secrets that it sends to tasks.
	SecretsDir string
	// More is configuration of the operator's own: its lists come behind those of this one,
	// and of single values its own count, but for the three intervals above.
	More settings.Tree
}

// components are Waggle's own services with their admin ports.
func (s Settings) components() (out []source) {
	for _, name := range scrape.OwnJobs(s.OwnStack) {
		out = append(out, source{name, adminPort})
	}
	return out
}

type configYAML struct {
	Global        globalYAML    `yaml:"global"`
	RuleFiles     []string      `yaml:"rule_files"`
	ScrapeFiles   []string      `yaml:"scrape_config_files"`
	Alerting      *alertingYAML `yaml:"alerting,omitempty"`
	ScrapeConfigs []scrapeYAML  `yaml:"scrape_configs"`
}

type globalYAML struct {
	ScrapeInterval     model.Duration `yaml:"scrape_interval"`
	ScrapeTimeout      model.Duration `yaml:"scrape_timeout"`
	EvaluationInterval model.Duration `yaml:"evaluation_interval"`
}

type alertingYAML struct {
	Alertmanagers []alertmanagerYAML `yaml:"alertmanagers"`
}

type alertmanagerYAML struct {
	Scheme     string         `yaml:"scheme"`
	PathPrefix string         `yaml:"path_prefix,omitempty"`
	BasicAuth  *basicAuthYAML `yaml:"basic_auth,omitempty"`
	discovery  `yaml:",inline"`
}

type basicAuthYAML struct {
	Username     string `yaml:"username"`
	PasswordFile string `yaml:"password_file"`
}

type tokenYAML struct {
	File string `yaml:"credentials_file"`
}

// scrapeYAML is a part of what Prometheus takes for a job, by its names.
type scrapeYAML struct {
	JobName     string `yaml:"job_name"`
	MetricsPath string `yaml:"metrics_path,omitempty"`
	// FollowRedirects is true by Prometheus' default.
	FollowRedirects *bool `yaml:"follow_redirects,omitempty"`
	// FallbackProtocol is how an answer is read whose type says nothing.
	FallbackProtocol string         `yaml:"fallback_scrape_protocol,omitempty"`
	SampleLimit      int            `yaml:"sample_limit,omitempty"`
	BodyLimit        string         `yaml:"body_size_limit,omitempty"`
	Scheme           string         `yaml:"scheme,omitempty"`
	BasicAuth        *basicAuthYAML `yaml:"basic_auth,omitempty"`
	Token            *tokenYAML     `yaml:"authorization,omitempty"`
	Relabel          []relabelYAML  `yaml:"relabel_configs,omitempty"`
	MetricRelabel    []relabelYAML  `yaml:"metric_relabel_configs,omitempty"`
	discovery        `yaml:",inline"`
}

type relabelYAML struct {
	SourceLabels []string `yaml:"source_labels,flow,omitempty"`
	Regex        string   `yaml:"regex"`
	TargetLabel  string   `yaml:"target_label,omitempty"`
	// Replacement may be empty, which takes the label away.
	Replacement *string `yaml:"replacement,omitempty"`
	Action      string  `yaml:"action,omitempty"`
}

// keepOwn gives a metric back the label of that name that it came with. Prometheus has put
// the target's in its place and calls the metric's own exported_NAME, or, if it has
// one of that name too, exported_exported_NAME.
func keepOwn(name string) []relabelYAML {
	once, twice := model.ExportedLabelPrefix+name, model.ExportedLabelPrefix+model.ExportedLabelPrefix+name
	nothing := ""
	return []relabelYAML{
		{SourceLabels: []string{twice}, Regex: "(.+)", TargetLabel: name},
		{SourceLabels: []string{twice, once}, Regex: ";(.+)", TargetLabel: name},
		{SourceLabels: []string{twice, once}, Regex: ";.+", TargetLabel: once, Replacement: &nothing},
		{Regex: twice, Action: "labeldrop"},
	}
}

type discovery struct {
	Static []staticYAML `yaml:"static_configs,omitempty"`
	DNS    []dnsYAML    `yaml:"dns_sd_configs,omitempty"`
	File   []fileYAML   `yaml:"file_sd_configs,omitempty"`
}

type staticYAML struct {
	Targets []string `yaml:"targets"`
}

type dnsYAML struct {
	Names           []string       `yaml:"names"`
	Type            string         `yaml:"type"`
	Port            int            `yaml:"port"`
	RefreshInterval model.Duration `yaml:"refresh_interval"`
}

type fileYAML struct {
	Files           []string       `yaml:"files"`
	RefreshInterval model.Duration `yaml:"refresh_interval"`
}

// refresh is how often names are resolved, and how late at most a changed file
// is read should the kernel not tell of the change. Since 3.12 Prometheus takes new targets
// up at once if it has not heard of any for a while, and every refresh counts as hearing.
const refresh = model.Duration(30 * time.Second)

// pool is the scrape job of a pool.
func (s Settings) pool(p scrape.Pool) scrapeYAML {
	out := scrapeYAML{
		JobName: Pool,
		// A target leads Prometheus to itself and nowhere else.
		FollowRedirects: new(bool),
		// What Prometheus 2 read, with any type or none, is read.
		FallbackProtocol: "PrometheusText0.0.4",
		SampleLimit:      cmp.Or(p.Samples, s.SampleLimit),
		BodyLimit:        cmp.Or(p.Body, s.BodyLimit),
		MetricRelabel:    slices.Concat(keepOwn(scrape.ServiceLabel), keepOwn(scrape.NodeLabel)),
		discovery:        discovery{File: []fileYAML{{Files: []string{poolTargets(p)}, RefreshInterval: refresh}}},
	}
	if p.ID() != "" {
		out.JobName += " (" + p.String() + ")"
	}
	switch file := path.Join(s.SecretsDir, scrape.SecretPrefix+p.Secret); {
	case p.User != "":
		out.BasicAuth = &basicAuthYAML{Username: p.User, PasswordFile: file}
	case p.Secret != "":
		out.Token = &tokenYAML{File: file}
	}
	return out
}

// poolTargets is the file of a pool's targets.
func poolTargets(p scrape.Pool) string {
	if p.ID() == "" {
		return TargetsFile
	}
	return "targets-" + p.ID() + ".json"
}

// RenderPools returns PoolsFile.
func RenderPools(s Settings, pools []scrape.Pooled) ([]byte, error) {
	c := struct {
		ScrapeConfigs []scrapeYAML `yaml:"scrape_configs"`
	}{[]scrapeYAML{}}
	for _, p := range pools {
		c.ScrapeConfigs = append(c.ScrapeConfigs, s.pool(p.Pool))
	}
	return encode(c)
}

// Render returns prometheus.yml. It does not depend on any label: services come
// and go in the files that it names.
func Render(s Settings) ([]byte, error) {
	c := configYAML{
		Global:        globalYAML{model.Duration(s.ScrapeInterval), model.Duration(s.ScrapeTimeout), model.Duration(s.EvaluationInterval)},
		RuleFiles:     []string{RulesFile},
		ScrapeFiles:   []string{PoolsFile},
		ScrapeConfigs: []scrapeYAML{s.pool(scrape.Pool{})},
	}
	if s.Self != "" {
		self := scrapeYAML{JobName: SelfJob, discovery: discovery{Static: []staticYAML{{[]string{s.Self}}}}}
		if s.SelfPath != "" {
			self.MetricsPath = s.SelfPath + "/metrics"
		}
		c.ScrapeConfigs = append(c.ScrapeConfigs, self)
	}
	if s.OwnRules {
		c.RuleFiles = append(c.RuleFiles, OwnRulesFile)
	}
	for _, own := range s.components() {
		c.ScrapeConfigs = append(c.ScrapeConfigs, scrapeYAML{JobName: own.service, discovery: discovery{File: own.found()}})
	}
	for _, text := range s.Alertmanagers {
		am, err := alertmanager(text)
		if err != nil {
			return nil, err
		}
		if c.Alerting == nil {
			c.Alerting = &alertingYAML{}
		}
		if s.AlertmanagerPassword {
			am.BasicAuth = &basicAuthYAML{Username: app.AlertmanagerUser, PasswordFile: PasswordFile}
		}
		c.Alerting.Alertmanagers = append(c.Alerting.Alertmanagers, am)
		if s.OwnStack != "" {
			c.ScrapeConfigs = append(c.ScrapeConfigs, am.scraped(scrape.OwnJob(s.OwnStack, scrape.Alertmanager), len(c.Alerting.Alertmanagers)))
		}
	}
	own, err := encode(c)
	if err != nil || len(s.More) == 0 {
		return own, err
	}
	var tree settings.Tree
	if err := yaml.Unmarshal(own, &tree); err != nil {
		return nil, fmt.Errorf("prometheus.yml: %w", err)
	}
	intervals := settings.Tree{"global": tree["global"]}
	return encode(settings.Merge(settings.Merge(tree, s.More), intervals))
}

// encode writes a configuration.
func encode(c any) ([]byte, error) {
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := errors.Join(e.Encode(c), e.Close()); err != nil {
		return nil, fmt.Errorf("prometheus.yml: %w", err)
	}
	return b.Bytes(), nil
}
