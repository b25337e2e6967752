package settings

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	yaml "go.yaml.in/yaml/v3"

	"github.com/wagglehq/waggle/pkg/tooltest"
)

func parsed(t *testing.T, text string) Tree {
	t.Helper()
	var out Tree
	if err := yaml.Unmarshal([]byte(text), &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestVariables(t *testing.T) {
	for _, tc := range []struct{ name, environ, want string }{
		{"none", "PATH=/bin GLOBALLY=1", "{}"},
		{"intervals and labels", "GLOBAL__SCRAPE_INTERVAL=5s GLOBAL__EXTERNAL_LABELS_1=a=b GLOBAL__EXTERNAL_LABELS_2=c=d=e",
			"global: {scrape_interval: 5s, external_labels: {a: b, c: d=e}}"},
		{"the old way of writing", "GLOBAL_SCRAPE_INTERVAL=5s GLOBAL_EXTERNAL_LABELS-CLUSTER=swarm REMOTE_WRITE_URL=http://a REMOTE_WRITE_REMOTE_TIMEOUT=3s",
			"{global: {scrape_interval: 5s, external_labels: {cluster: swarm}}, remote_write: [{url: 'http://a', remote_timeout: 3s}]}"},
		{"lists in the order of their numbers, with gaps", "REMOTE_WRITE_10__URL=http://c REMOTE_WRITE_2__URL=http://b REMOTE_WRITE_2__QUEUE_CONFIG__CAPACITY=5",
			"remote_write: [{url: 'http://b', queue_config: {capacity: 5}}, {url: 'http://c'}]"},
		{"a job", "SCRAPE_CONFIGS_1__JOB_NAME=x SCRAPE_CONFIGS_1__HONOR_LABELS=true SCRAPE_CONFIGS_1__STATIC_CONFIGS_1__TARGETS_1=a:1 SCRAPE_CONFIGS_1__STATIC_CONFIGS_1__TARGETS_2=b:1 SCRAPE_CONFIGS_1__STATIC_CONFIGS_1__LABELS=tier=db SCRAPE_CONFIGS_1__PARAMS=m_1=v",
			"scrape_configs: [{job_name: x, honor_labels: true, static_configs: [{targets: ['a:1', 'b:1'], labels: {tier: db}}], params: {m: [v]}}]"},
		{"texts that look like numbers", "REMOTE_WRITE_1__BASIC_AUTH__PASSWORD=007 REMOTE_WRITE_1__URL=http://a", "remote_write: [{url: 'http://a', basic_auth: {password: '007'}}]"},
	} {
		set, err := Variables(strings.Fields(tc.environ))
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
		}
		if want := parsed(t, tc.want); !reflect.DeepEqual(set.Tree, want) {
			t.Errorf("%s: got\n%v\nwant\n%v", tc.name, set.Tree, want)
		}
	}
}

// TestTruthInOtherLetters: Prometheus takes it for truth where it wants that, and for the very letters
// where it wants a text.
func TestTruthInOtherLetters(t *testing.T) {
	set, err := Variables([]string{"REMOTE_READ_1__READ_RECENT=True", "REMOTE_READ_1__BASIC_AUTH__PASSWORD=FALSE"})
	if err != nil {
		t.Fatal(err)
	}
	content, err := yaml.Marshal(set.Tree)
	if err != nil {
		t.Fatal(err)
	}
	var read struct {
		RemoteRead []struct {
			ReadRecent bool                      `yaml:"read_recent"`
			BasicAuth  struct{ Password string } `yaml:"basic_auth"`
		} `yaml:"remote_read"`
	}
	if err := yaml.Unmarshal(content, &read); err != nil || len(read.RemoteRead) != 1 || !read.RemoteRead[0].ReadRecent || read.RemoteRead[0].BasicAuth.Password != "FALSE" {
		t.Errorf("%+v %v, from\n%s", read, err, content)
	}
}

// TestAFaultShowsNoHeader: a header may hold a password, so its text is not told.
func TestAFaultShowsNoHeader(t *testing.T) {
	_, err := Variables([]string{"REMOTE_WRITE_1__HEADERS=Authorization: Bearer canary"})
	if err == nil || strings.Contains(err.Error(), "canary") || !strings.Contains(err.Error(), "REMOTE_WRITE_1__HEADERS") {
		t.Error(err)
	}
}

func TestBlame(t *testing.T) {
	environ := strings.Fields("GLOBAL__NO_SUCH=1 GLOBAL__SCRAPE_INTERVAL=soon REMOTE_WRITE_1__URL=x")
	set, err := Variables(environ)
	if err != nil || set.By("global", "scrape_interval") != "GLOBAL__SCRAPE_INTERVAL" || set.By("global", "x") != "" {
		t.Fatal(set, err)
	}
	for _, tc := range []struct{ said, takesWithout, want string }{
		{"field no_such not found", "", "GLOBAL__NO_SUCH"},
		{`not a valid duration string: "soon"`, "", "GLOBAL__SCRAPE_INTERVAL"},
		{"something", "REMOTE_WRITE_1__URL", "REMOTE_WRITE_1__URL"},
		{"something", "", "GLOBAL__NO_SUCH GLOBAL__SCRAPE_INTERVAL REMOTE_WRITE_1__URL"},
	} {
		got := set.Blame(tc.said, func(without string) bool { return without == tc.takesWithout })
		if strings.Join(got, " ") != tc.want {
			t.Errorf("%s: %q, want %s", tc.said, got, tc.want)
		}
	}
	if left := Without(environ, "GLOBAL__NO_SUCH"); len(left) != 2 {
		t.Error(left)
	}
}

func TestVariablesThatClash(t *testing.T) {
	for _, tc := range []struct {
		environ string
		says    []string
	}{
		{"GLOBAL_SCRAPE_INTERVAL=1s GLOBAL__SCRAPE_INTERVAL=2s", []string{"GLOBAL_SCRAPE_INTERVAL", "GLOBAL__SCRAPE_INTERVAL"}},
		{"GLOBAL__EXTERNAL_LABELS_1=a=b GLOBAL_EXTERNAL_LABELS-A=c", []string{"GLOBAL__EXTERNAL_LABELS_1", "GLOBAL_EXTERNAL_LABELS-A"}},
		{"GLOBAL__EXTERNAL_LABELS=a", []string{"GLOBAL__EXTERNAL_LABELS", "name=text"}},
		{"REMOTE_WRITE_URL=a REMOTE_WRITE_1__URL=b", []string{"REMOTE_WRITE_URL", "REMOTE_WRITE_1__URL"}},
		{"REMOTE_WRITE_1__X=a REMOTE_WRITE_1__X__Y=b", []string{"REMOTE_WRITE_1__X"}},
		{"SCRAPE_CONFIGS_1__A=a SCRAPE_CONFIGS_1__A_1=b", []string{"SCRAPE_CONFIGS_1__A_1", "list"}},
		{"SCRAPE_CONFIGS_0__JOB_NAME=a", []string{"SCRAPE_CONFIGS_0__JOB_NAME", "leads somewhere"}},
		{"GLOBAL_1__SCRAPE_INTERVAL=1s REMOTE_WRITE_A__URL=b", []string{"GLOBAL_1__SCRAPE_INTERVAL", "REMOTE_WRITE_A__URL"}},
	} {
		_, err := Variables(strings.Fields(tc.environ))
		for _, says := range tc.says {
			if err == nil || !strings.Contains(err.Error(), says) {
				t.Errorf("%s: %v, want %q", tc.environ, err, says)
			}
		}
	}
}

func TestArgs(t *testing.T) {
	got, err := ReadArgs([]string{
		"ARG_STORAGE_LOCAL_RETENTION=48h", "ARG_QUERY_STALENESS-DELTA=2m", "ARG_WEB_ENABLE-ADMIN-API=", "ARG_WEB_PAGE-TITLE=a $HOME `id`",
		"ARG_WEB_ENABLE-REMOTE-SHUTDOWN=true", "ARG_ALERTMANAGER_URL=http://a:9093", "ARG_WEB_EXTERNAL-URL=http://a/b", "ARG_WEB_ROUTE-PREFIX=/b",
		"ARG_X=true", "ARG_Y=false", "OTHER=1",
	})
	if err != nil {
		t.Fatal(err)
	}
	bools := KnownFlags("usage: prometheus [<flags>]\n\nFlags:\n  -h, --[no-]help   Show --this.\n      --[no-]x  Is x.\n      --[no-]y\n      --query.lookback-delta=5m\n")
	if is, known := bools["query.lookback-delta"]; is || !known || !bools["x"] || len(bools) != 4 {
		t.Error(bools)
	}
	var args []string
	for _, f := range got.Flags {
		args = append(args, f.Argument(bools))
	}
	want := []string{"--query.lookback-delta=2m", "--web.enable-admin-api", "--web.page-title=a $HOME `id`", "--x", "--no-y"}
	if !reflect.DeepEqual(args, want) || got.Retention.Text != "48h" || got.Alertmanagers.Text != "http://a:9093" || got.ExternalURL.Text != "http://a/b" || got.RoutePrefix.Text != "/b" {
		t.Errorf("%q %+v", args, got)
	}
	for _, tc := range []struct {
		environ string
		says    []string
	}{
		{"ARG_CONFIG_FILE=x", []string{"ARG_CONFIG_FILE"}},
		{"ARG_WEB_LISTEN-ADDRESS=x", []string{"ARG_WEB_LISTEN-ADDRESS"}},
		{"ARG_WEB_ENABLE-LIFECYCLE=", []string{"ARG_WEB_ENABLE-LIFECYCLE"}},
		{"ARG_STORAGE_LOCAL_RETENTION=1d ARG_STORAGE_TSDB_RETENTION_TIME=2d", []string{"ARG_STORAGE_LOCAL_RETENTION", "ARG_STORAGE_TSDB_RETENTION_TIME"}},
	} {
		_, err := ReadArgs(strings.Fields(tc.environ))
		for _, says := range tc.says {
			if err == nil || !strings.Contains(err.Error(), says) {
				t.Errorf("%s: %v", tc.environ, err)
			}
		}
	}
}

func TestTargetsOutsideOfTheSwarm(t *testing.T) {
	got, err := ReadTargets(strings.Fields("SERVICE_NAME_2=b SCRAPE_PORT_2=2 SERVICE_NAME_1=a SCRAPE_PORT_1=1 SCRAPE_PORT_7=3 SERVICE_NAME_7=a SCRAPE_PORT_X=9"))
	if err != nil {
		t.Fatal(err)
	}
	want := parsed(t, "scrape_configs: [{job_name: a, fallback_scrape_protocol: PrometheusText0.0.4, static_configs: [{targets: ['a:1', 'a:3']}]}, {job_name: b, fallback_scrape_protocol: PrometheusText0.0.4, static_configs: [{targets: ['b:2']}]}]")
	if jobs := got.Jobs(); !reflect.DeepEqual(jobs, want) || !reflect.DeepEqual(Jobs(jobs), []string{"a", "b"}) {
		t.Errorf("got %v, want %v", jobs, want)
	}
	for environ, says := range map[string]string{
		"SCRAPE_PORT_3=abc SERVICE_NAME_3=x": "SCRAPE_PORT_3", "SERVICE_NAME_4=y": "SCRAPE_PORT_4", "SCRAPE_PORT_5=1": "SERVICE_NAME_5", "SERVICE_NAME_6=a/b SCRAPE_PORT_6=1": "SERVICE_NAME_6",
	} {
		if _, err := ReadTargets(strings.Fields(environ)); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", environ, err)
		}
	}
}

func TestMerge(t *testing.T) {
	one := parsed(t, "{global: {a: 1, labels: {x: a, y: b}}, rule_files: [one], only: 1}")
	other := parsed(t, "{global: {a: 2, labels: {y: c}}, rule_files: [two], more: [3]}")
	want := parsed(t, "{global: {a: 2, labels: {x: a, y: c}}, rule_files: [one, two], only: 1, more: [3]}")
	if got := Merge(one, other); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := Merge(nil, other); !reflect.DeepEqual(got, other) {
		t.Error(got)
	}
}

func TestFiles(t *testing.T) {
	folder := t.TempDir()
	for name, text := range map[string]string{
		"base.yml":    "rule_files: [own.yml, /else/x.yml]\nscrape_configs: [{job_name: a, tls_config: {ca_file: ca.pem}, file_sd_configs: [{files: ['sd/*.json']}], static_configs: [{targets: ['a:1']}]}]\n",
		"scrape_two":  "  - job_name: one\n  - job_name: two\n",
		"Scrape_bad":  "- job_name: [broken\n",
		"scrape_none": "[]\n", "other": "- job_name: x\n",
	} {
		tooltest.Must(t, os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600))
	}
	got, err := ReadBase(filepath.Join(folder, "base.yml"))
	if err != nil {
		t.Fatal(err)
	}
	want := parsed(t, strings.ReplaceAll("{rule_files: [DIR/own.yml, /else/x.yml], scrape_configs: [{job_name: a, tls_config: {ca_file: DIR/ca.pem}, file_sd_configs: [{files: ['DIR/sd/*.json']}], static_configs: [{targets: ['a:1']}]}]}", "DIR", folder))
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	for _, path := range []string{filepath.Join(folder, "none.yml"), filepath.Join(folder, "Scrape_bad")} {
		if _, err := ReadBase(path); err == nil || !strings.Contains(err.Error(), filepath.Base(path)) {
			t.Error(err)
		}
	}
	var told []string
	for _, f := range ReadJobs(folder) {
		if f.Err != nil {
			told = append(told, f.Name+" is bad")
			continue
		}
		told = append(told, f.Name+" "+strings.Join(Jobs(f.Jobs), ","))
	}
	if want := []string{"Scrape_bad is bad", "scrape_none is bad", "scrape_two one,two"}; !reflect.DeepEqual(told, want) {
		t.Errorf("%q", told)
	}
	if got := ReadJobs(filepath.Join(folder, "nowhere")); got != nil {
		t.Error(got)
	}
}
