package keep_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/wagglehq/waggle/scaler/internal/keep"
	"go.yaml.in/yaml/v3"
)

// live is a swarm in which shop_web has 7 replicas, shop_api 9 and shop_sleepy 0.
func live(name string) (uint64, bool) {
	n, ok := map[string]uint64{"shop_web": 7, "shop_api": 9, "shop_sleepy": 0, "web": 2}[name]
	return n, ok
}

func variable(name string) (string, bool) {
	text, ok := map[string]string{"MOST": "5", "EMPTY": ""}[name]
	return text, ok
}

func edit(text string) (string, []keep.Change, error) {
	out, changes, err := keep.Edit([]byte(text), keep.Options{Stack: "shop", Live: live, Variable: variable})
	return string(out), changes, err
}

const labels = "labels: {com.df.notify: \"true\", com.df.scaleMin: \"2\", com.df.scaleMax: \"12\"}"

// web is a file with one service, whose deploy is this text, indented by six blanks.
func web(deploy string) string {
	return "services:\n  web:\n    image: shop/web:${TAG}\n    deploy:\n" + deploy + "\n    stop_signal: SIGQUIT\n"
}

func TestTheNumberAloneChanges(t *testing.T) {
	for _, c := range []struct{ name, before, after string }{
		{"a number", web("      replicas: 3\n      " + labels), web("      replicas: 7\n      " + labels)},
		{"a comment behind it, and blanks", web("      replicas:   3  # as on the first day \n      " + labels), web("      replicas:   7  # as on the first day \n      " + labels)},
		{"tabs around it", web("      replicas:\t3\t# three\n      " + labels), web("      replicas:\t7\t# three\n      " + labels)},
		{"behind the labels", web("      " + labels + "\n      replicas: 3"), web("      " + labels + "\n      replicas: 7")},
		{"in double quotes", web("      replicas: \"3\" # 3\n      " + labels), web("      replicas: 7 # 3\n      " + labels)},
		{"in single quotes", web("      replicas: '3'\n      " + labels), web("      replicas: 7\n      " + labels)},
		{"an escaped quote", web("      replicas: \"${X:-\\\"3\\\"}\"\n      " + labels), web("      replicas: 7\n      " + labels)},
		{"two single quotes for one", web("      replicas: '${X:-''3''}'\n      " + labels), web("      replicas: 7\n      " + labels)},
		{"a variable", web("      replicas: ${WEB:-3}\n      " + labels), web("      replicas: 7\n      " + labels)},
		{"no value", web("      replicas:\n      " + labels), web("      replicas: 7\n      " + labels)},
		{"no value, but a comment", web("      replicas : # none\n      " + labels), web("      replicas : 7 # none\n      " + labels)},
		{"null", web("      replicas: ~\n      " + labels), web("      replicas: 7\n      " + labels)},
		{"a quoted key", web("      \"replicas\": 3\n      " + labels), web("      \"replicas\": 7\n      " + labels)},
		{"a quoted key without a value", web("      \"replicas\":\n      " + labels), web("      \"replicas\": 7\n      " + labels)},
		{"the number that it has", web("      replicas: 7\n      " + labels), web("      replicas: 7\n      " + labels)},
		{"none: a line is added", web("      " + labels), web("      replicas: 7\n      " + labels)},
		{"none, and a comment is the first line", web("      # one\n\n      " + labels), web("      replicas: 7\n      # one\n\n      " + labels)},
		{
			"none, behind a comment, with the ending of the line", "services:\r\n  web:\r\n    deploy: # d\r\n       " + labels + "\r\n",
			"services:\r\n  web:\r\n    deploy: # d\r\n       replicas: 7\r\n       " + labels + "\r\n",
		},
		{"lines of an old system", "services:\r web:\r  deploy:\r   " + labels + "\r", "services:\r web:\r  deploy:\r   replicas: 7\r   " + labels + "\r"},
		{"the end without a line's ending", "services:\n  web:\n    deploy:\n      " + labels + "\n      replicas: 3", "services:\n  web:\n    deploy:\n      " + labels + "\n      replicas: 7"},
		{"a mark before all", "\ufeffservices: {web: {deploy: {replicas: 3, " + labels + "}}}\n", "\ufeffservices: {web: {deploy: {replicas: 7, " + labels + "}}}\n"},
		{"a document's beginning and end", "---\nservices: {web: {deploy: {replicas: 3, " + labels + "}}}\n...\n", "---\nservices: {web: {deploy: {replicas: 7, " + labels + "}}}\n...\n"},
		{"letters of more than one byte before it", "x-ä: ö\nservices: {x-é: {ü: ß}, web: {deploy: {x-é: ü, replicas: 3, " + labels + "}}}", "x-ä: ö\nservices: {x-é: {ü: ß}, web: {deploy: {x-é: ü, replicas: 7, " + labels + "}}}"},
		{"a line's end that only YAML knows", "x: \"a\u2028b\"\n" + web("      replicas: 3\n      "+labels), "x: \"a\u2028b\"\n" + web("      replicas: 7\n      "+labels)},
		{"the flow style without a number", "services: {web: {deploy: { " + labels + "}}}", "services: {web: {deploy: { replicas: 7, " + labels + "}}}"},
		{
			"JSON, over several lines", "{\"services\": {\"web\": {\"deploy\": {\n  \"labels\": {\"com.df.notify\": \"true\", \"com.df.scaleMax\": \"12\"}\n}}}}",
			"{\"services\": {\"web\": {\"deploy\": {\n  \"replicas\": 7, \"labels\": {\"com.df.notify\": \"true\", \"com.df.scaleMax\": \"12\"}\n}}}}",
		},
		{
			"labels as a list", web("      replicas: 3\n      labels:\n        - com.df.notify=true\n        - \"com.df.scaleMax=12\""),
			web("      replicas: 7\n      labels:\n        - com.df.notify=true\n        - \"com.df.scaleMax=12\""),
		},
		{"labels that are an alias", "x-l: &l {com.df.notify: true, com.df.scaleMax: 12}\n" + web("      replicas: 3\n      labels: *l"), "x-l: &l {com.df.notify: true, com.df.scaleMax: 12}\n" + web("      replicas: 7\n      labels: *l")},
		{
			"labels that are merged", "x-l: &l {com.df.notify: true, com.df.scaleMax: 12}\n" + web("      labels:\n        <<: *l\n        com.df.scaleMax: 6"),
			"x-l: &l {com.df.notify: true, com.df.scaleMax: 12}\n" + web("      replicas: 6\n      labels:\n        <<: *l\n        com.df.scaleMax: 6"),
		},
		{"a number that is an alias", "x-n: &n 3\n" + web("      replicas: *n\n      "+labels), "x-n: &n 3\n" + web("      replicas: 7\n      "+labels)},
		{"an anchor that nobody uses", web("      replicas: &n 3\n      " + labels), web("      replicas: &n 7\n      " + labels)},
		{"a number below what is merged", "x-d: &d {replicas: 2}\n" + web("      <<: *d\n      replicas: 3\n      "+labels), "x-d: &d {replicas: 2}\n" + web("      <<: *d\n      replicas: 7\n      "+labels)},
		{"none, with something merged", "x-d: &d {mode: replicated}\n" + web("      <<: *d\n      "+labels), "x-d: &d {mode: replicated}\n" + web("      replicas: 7\n      <<: *d\n      "+labels)},
		{"one that is merged, and right", "x-d: &d {replicas: 7}\n" + web("      <<: *d\n      "+labels), "x-d: &d {replicas: 7}\n" + web("      <<: *d\n      "+labels)},
		{"an anchor that nobody else has as it is", "services:\n  web:\n    deploy: &d\n      " + labels + "\n", "services:\n  web:\n    deploy: &d\n      replicas: 7\n      " + labels + "\n"},
		{"a field of that name elsewhere", "replicas: 3\nservices:\n  web: {replicas: 3, x-deploy: {replicas: 3}, deploy: {" + labels + ", replicas: 3}}\n", "replicas: 3\nservices:\n  web: {replicas: 3, x-deploy: {replicas: 3}, deploy: {" + labels + ", replicas: 7}}\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got, _, err := edit(c.before); err != nil || got != c.after {
				t.Errorf("%v, want nil; got\n%s\nwant\n%s", err, got, c.after)
			}
			if got, changes, err := edit(c.after); err != nil || got != c.after || len(changes) > 0 {
				t.Errorf("a second time: %v, %v; got\n%s", err, changes, got)
			}
		})
	}
}

func TestWhoseNumberIsKept(t *testing.T) {
	const notify = "com.df.notify: \"true\""
	for _, c := range []struct{ name, service, deploy, number string }{
		{"one with the greatest number alone", "api", "labels: {" + notify + ", com.df.scaleMax: 12}", "9"},
		{"one with the least number alone", "api", "labels: {" + notify + ", com.df.scaleMin: 2}", "9"},
		{"not above the file's greatest", "api", "labels: {" + notify + ", com.df.scaleMax: 5}", "5"},
		{"not below the file's least", "web", "labels: {" + notify + ", com.df.scaleMin: 8, com.df.scaleMax: 12}", "8"},
		{"a greatest number out of a variable", "api", "labels: {" + notify + ", com.df.scaleMax: \"${MOST}\"}", "5"},
		{"a variable's default", "api", "labels: {" + notify + ", com.df.scaleMax: \"${OTHER:-6}\"}", "6"},
		{"a default for an empty variable", "api", "labels: {" + notify + ", com.df.scaleMax: \"${EMPTY:-6}\"}", "6"},
		{"one that sleeps", "sleepy", "labels: {" + notify + ", com.df.scaleMin: 0}", "0"},
		{"one whose labels are at fault: as many as there are", "api", "labels: {" + notify + ", com.df.scaleMin: 3, com.df.scaleMax: 2}", "9"},
		{"one that only tries", "web", "labels: {" + notify + ", com.df.scaleMin: 2, com.df.scaleMax: 12, com.df.scale: dry-run}", "7"},
		{"mode replicated", "web", "mode: replicated, labels: {" + notify + ", com.df.scaleMax: 12}", "7"},
		{"one with a label of which it does not care", "web", "labels: {" + notify + ", com.df.scaleMax: 12, com.df.scaleUpBy: \"${WHAT}\"}", "7"},
		{"not one that is switched off", "web", "labels: {" + notify + ", com.df.scaleMax: 12, com.df.scale: off}", "3"},
		{"not one that has not opted in", "web", "labels: {com.df.notify: false, com.df.scaleMax: 12}", "3"},
		{"not one without bounds", "web", "labels: {" + notify + "}", "3"},
		{"not one without labels", "web", "restart_policy: {}", "3"},
		{"not one that runs on each node", "web", "mode: global, labels: {" + notify + ", com.df.scaleMax: 12}", "3"},
		{"not one that is not there yet", "new", "labels: {" + notify + ", com.df.scaleMax: 12}", "3"},
	} {
		t.Run(c.name, func(t *testing.T) {
			text := "services:\n  " + c.service + ":\n    deploy: {replicas: %s, " + c.deploy + "}\n"
			want := strings.Replace(text, "%s", c.number, 1)
			if got, _, err := edit(strings.Replace(text, "%s", "3", 1)); err != nil || got != want {
				t.Errorf("%v, want nil; got\n%s\nwant\n%s", err, got, want)
			}
		})
	}
}

func TestAllServicesOfAFile(t *testing.T) {
	text := "services:\n  api:\n    deploy:\n      labels: {com.df.notify: true, com.df.scaleMax: 5}\n  db:\n    image: db\n  web:\n    deploy:\n      replicas: 1\n      " + labels + "\n"
	want := "services:\n  api:\n    deploy:\n      replicas: 5\n      labels: {com.df.notify: true, com.df.scaleMax: 5}\n  db:\n    image: db\n  web:\n    deploy:\n      replicas: 7\n      " + labels + "\n"
	got, changes, err := edit(text)
	if err != nil || got != want {
		t.Errorf("%v, want nil; got\n%s\nwant\n%s", err, got, want)
	}
	told := "[shop_api: 5 replicas, the nearest to the 9 of now that the file allows shop_web: 7 replicas, as there are now, instead of 1]"
	if fmt.Sprint(changes) != told {
		t.Errorf("told %v, want %v", changes, told)
	}
}

func TestWhatCannotBeEditedIsRefusedByName(t *testing.T) {
	for _, c := range []struct{ name, text, why string }{
		{"a number of another service's as well", "services:\n  web:\n    deploy: {replicas: &n 3, " + labels + "}\n  db:\n    deploy: {replicas: *n}\n", "services.db would change: it shares an anchor with a service whose number changes"},
		{"a number that something else is as well", "services:\n  web:\n    deploy: {replicas: &n 3, " + labels + "}\nx-n: *n\n", "the file cannot be edited: something else would change"},
		{"a deploy that is an alias", "x-d: &d {replicas: 3, " + labels + "}\nservices:\n  web:\n    deploy: *d\n", "line 4: services.web.deploy comes from an anchor"},
		{"a deploy that is anchored", "services:\n  web:\n    deploy: &d\n      " + labels + "\n  db:\n    deploy: *d\n", "services.db would change"},
		{"a number that is merged", "x-d: &d {replicas: 3}\nservices:\n  web:\n    deploy:\n      <<: *d\n      " + labels + "\n", "services.web.deploy.replicas comes from an anchor"},
		{"a number above what is merged, of which only some versions think", "x-d: &d {replicas: 3}\nservices:\n  web:\n    deploy:\n      replicas: 2\n      <<: [*d]\n      " + labels + "\n", "services.web.deploy.replicas comes from an anchor"},
		{"a service that is merged", "x-s: &s {deploy: {" + labels + "}}\nservices:\n  web:\n    <<: *s\n", "services.web.deploy comes from an anchor"},
		{"a service that is an alias", "x-s: &s {deploy: {" + labels + "}}\nservices:\n  web: *s\n", "services.web comes from an anchor"},
		{"a tag", web("      replicas: !!int 3\n      " + labels), "line 5: services.web.deploy.replicas has a tag"},
		{"a block", web("      replicas: |\n        3\n      " + labels), "services.web.deploy.replicas is more than a number on one line"},
		{"quotes over two lines", web("      replicas: \"3\n        4\"\n      " + labels), "services.web.deploy.replicas is more than a number on one line"},
		{"a list", web("      replicas: [3]\n      " + labels), "services.web.deploy.replicas is more than a number on one line"},
		{"a key with a mark of its own", "services:\n  web:\n    deploy:\n      ? replicas\n      : 3\n      ? labels\n      : {com.df.notify: true, com.df.scaleMax: 9}\n", ""},
		{"a mapping that begins beside a mark", "services:\n  web:\n    ? deploy\n    : " + labels + "\n", "services.web.deploy does not begin on a line of its own"},
		{"an anchor on a line of its own", "services:\n  web:\n    deploy:\n      &d\n      " + labels + "\n", "the file cannot be edited"},
		{"a variable without a value", "services:\n  web:\n    deploy: {labels: {com.df.notify: true, com.df.scaleMax: \"${WHAT}\"}}\n", "services.web.deploy.labels: com.df.scaleMax=${WHAT} depends on the variable WHAT"},
		{"two documents", "services: {}\n---\nservices: {}\n", "a second document is not deployed"},
		{"a key twice", web("      replicas: 3\n      replicas: 4\n      " + labels), "the file cannot be read"},
		{"no YAML", "services: [", "the file cannot be read"},
		{"a tab as indentation", "services:\n\tweb: {}\n", "the file cannot be read"},
		{"no stack", "- a\n", "the file"},
		{"nothing", "", "the file"},
		{"other letters than UTF-8", "services: {} # \xff\n", "the file is not UTF-8"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, changes, err := edit(c.text)
			if c.why == "" {
				if err != nil || !strings.Contains(got, ": 7\n") {
					t.Errorf("%v; got\n%s", err, got)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.why) || got != "" || changes != nil {
				t.Errorf("error %v, want %s; got %q, %v", err, c.why, got, changes)
			}
		})
	}
	_, _, err := edit("services: {web: {deploy: {replicas: [3], " + labels + "}}}")
	if refusal := (*keep.Refusal)(nil); !errors.As(err, &refusal) || refusal.Line != 1 {
		t.Errorf("%v has no line", err)
	}
}

// FuzzEdit: what comes out of a file with one service is the file with one piece of one
// line in place of another, says what the file said but for the number, and stays as it is
// when it is edited again.
func FuzzEdit(f *testing.F) {
	for _, deploy := range []string{
		"replicas: 3 # three\n      " + labels, "replicas: \"3\"\r\n      " + labels, labels, "<<: *d\n      " + labels, "# ä\n      " + labels + "\n      replicas: '${X}'",
		"? replicas\n      : 3\n      " + labels, "replicas:\t&n 3\n      x: *n\n      " + labels,
	} {
		f.Add("x-d: &d {mode: replicated}\n"+web("      "+deploy), uint16(7))
	}
	f.Add("{\"services\": {\"web\": {\"deploy\": {\"replicas\": 3, \"labels\": [\"com.df.notify=true\", \"com.df.scaleMax=9\"]}}}}", uint16(0))
	f.Fuzz(func(t *testing.T, text string, number uint16) {
		o := keep.Options{Stack: "shop", Live: func(name string) (uint64, bool) { return uint64(number), name == "shop_web" }}
		got, changes, err := keep.Edit([]byte(text), o)
		if err != nil {
			return
		}
		var before, after map[string]any
		if err := errors.Join(yaml.Unmarshal([]byte(text), &before), yaml.Unmarshal(got, &after)); err != nil {
			t.Fatal(err)
		}
		if len(changes) > 0 {
			deploy := before["services"].(map[string]any)["web"].(map[string]any)["deploy"].(map[string]any)
			deploy["replicas"] = int(changes[0].To)
		}
		if fmt.Sprintf("%#v", before) != fmt.Sprintf("%#v", after) {
			t.Errorf("says\n%v\nand not\n%v", after, before)
		}
		if again, more, err := keep.Edit(got, o); err != nil || !bytes.Equal(again, got) || len(more) > 0 {
			t.Errorf("edited again: %v, %v\n%q", err, more, again)
		}
		old, now := differing([]byte(text), got)
		if len(changes) == 0 && (len(old) > 0 || len(now) > 0) {
			t.Errorf("%q instead of %q, and nothing is told", now, old)
		}
		if strings.ContainsAny(string(old), "\r\n") || len(strings.Join(strings.Fields(string(now)), "")) > len(`"replicas":65535,`) {
			t.Errorf("%q instead of %q", now, old)
		}
	})
}

// differing returns what differs between two texts, without what both begin and end with.
func differing(a, b []byte) (x, y []byte) {
	for len(a) > 0 && len(b) > 0 && a[0] == b[0] {
		a, b = a[1:], b[1:]
	}
	for len(a) > 0 && len(b) > 0 && a[len(a)-1] == b[len(b)-1] {
		a, b = a[:len(a)-1], b[:len(b)-1]
	}
	return a, b
}
