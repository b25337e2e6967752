package docker

import (
	"strings"
	"testing"
)

func TestAListOfTasksIsWholeOrNone(t *testing.T) {
	one := `{"ID":"a","ServiceID":"s","Spec":{"Networks":[{"Target":"n"}]},"NodeID":"w","Version":{"Index":7}}`
	for text, want := range map[string]int{
		"[]": 0, "[" + one + "]": 1, " [" + one + " ,\n" + one + "]\n": 2,
		"": -1, "[": -1, "[" + one: -1, "[" + one + ",": -1, "[" + one + "," + one[:20]: -1, "[" + one + "}": -1,
		`{"message":"proxy says hello"}`: -1, "null": -1, "[7]": -1, "[" + one + ` {"ID":"b"}]`: -1, `[{"ID":7}]`: -1,
	} {
		tasks, err := decodeTasks(strings.NewReader(text))
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
