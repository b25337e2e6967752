package docker

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/docker/docker/api/types/swarm"
)

// TestRecordedTasksAreOfTheirSpecification, as an engine told them at rest.
func TestRecordedTasksAreOfTheirSpecification(t *testing.T) {
	var services []swarm.Service
	text, err := os.ReadFile("testdata/services.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &services); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open("testdata/tasks.json")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	tasks, err := decodeTasks[taskWithSpec](file)
	if err != nil {
		t.Fatal(err)
	}
	looked := 0
	for _, s := range services {
		for _, task := range tasks {
			if task.ServiceID != s.ID {
				continue
			}
			looked++
			if !task.isOf(s.Spec.TaskTemplate) {
				t.Errorf("%s: %+v\nis not of\n%+v", s.Spec.Name, task.Spec, s.Spec.TaskTemplate)
			}
		}
	}
	if looked == 0 {
		t.Error("no task was looked at")
	}
}

func TestAListOfTasksIsWholeOrNone(t *testing.T) {
	one := `{"ID":"a","ServiceID":"s","Spec":{"Networks":[{"Target":"n"}]},"NodeID":"w","Version":{"Index":7}}`
	for text, want := range map[string]int{
		"[]": 0, "[" + one + "]": 1, " [" + one + " ,\n" + one + "]\n": 2,
		"": -1, "[": -1, "[" + one: -1, "[" + one + ",": -1, "[" + one + "," + one[:20]: -1, "[" + one + "}": -1,
		`{"message":"proxy says hello"}`: -1, "null": -1, "[7]": -1, "[" + one + ` {"ID":"b"}]`: -1, `[{"ID":7}]`: -1,
	} {
		tasks, err := decodeTasks[task](strings.NewReader(text))
		if (err != nil) != (want < 0) || err == nil && len(tasks) != want {
			t.Errorf("%s: %d tasks, error %v, want %d", text, len(tasks), err, want)
		}
		for _, task := range tasks {
			if err == nil && (task.ID != "a" || task.ServiceID != "s" || task.NodeID != "w" || task.Version.Index != 7) {
				t.Errorf("%s: %+v", text, task)
			}
		}
	}
}
