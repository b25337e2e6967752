package known

import (
	"reflect"
	"strings"
	"testing"

	"github.com/wagglehq/waggle/pkg/label"
)

func TestTheEmbeddedTable(t *testing.T) {
	table, err := Table()
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]label.Spec{
		"notify":      {Name: "notify"},
		"servicePath": {Name: "servicePath", Indexed: true},
		"alertIf":     {Name: "alertIf", Indexed: true},
		"scaleMax":    {Name: "scaleMax", Indexed: true},
		"users":       {Name: "users", Indexed: true, Secret: true},
	}
	for _, s := range table {
		if w, ok := want[s.Name]; ok && !reflect.DeepEqual(s, w) {
			t.Errorf("%+v, want %+v", s, w)
		}
		delete(want, s.Name)
	}
	if len(want) > 0 {
		t.Errorf("missing: %v", want)
	}
}

func TestParse(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want []label.Spec
		err  string
	}{
		"names with what holds for them": {
			text: "# a comment\n\nport indexed\nnotify\r\nusers secret\nboth indexed secret\n",
			want: []label.Spec{{Name: "port", Indexed: true}, {Name: "notify"}, {Name: "users", Secret: true}, {Name: "both", Indexed: true, Secret: true}},
		},
		"nothing":          {text: "\n"},
		"a word too many":  {text: "notify\nport many\n", err: `line 2: "many": want indexed or secret`},
		"a name twice":     {text: "port\nport indexed\n", err: `line 2: "port" stands there twice`},
		"the whole prefix": {text: "com.df.port\n", err: `line 1: "com.df.port": want the name without com.df.`},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Parse(c.text)
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Errorf("error %v, want one with %s", err, c.err)
				}
				return
			}
			if err != nil || !reflect.DeepEqual(got, c.want) {
				t.Errorf("%+v, error %v, want %+v", got, err, c.want)
			}
		})
	}
}

func TestForeign(t *testing.T) {
	for name, want := range map[string]bool{
		"letsencrypt.host": true, "cron": true, "cron.image": true, "crontab": false, "letsencrypt": false, "port": false,
	} {
		if got := Foreign(name); got != want {
			t.Errorf("Foreign(%s) = %t", name, got)
		}
	}
}

func TestShowHidesWhatIsSecretOrUnknown(t *testing.T) {
	got := Show(map[string]string{
		"com.df.port.2": "8080", "com.df.notify": "true", "com.df.users": "me:secret", "com.df.usrs": "me:secret", "com.df.notify.2": "x",
	}, []label.Spec{{Name: "port", Indexed: true}, {Name: "notify"}, {Name: "users", Secret: true}})
	want := map[string]string{
		"com.df.port.2": "8080", "com.df.notify": "true", "com.df.users": Hidden, "com.df.usrs": Hidden, "com.df.notify.2": Hidden,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}
