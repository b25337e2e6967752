package catalog

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
)

// Tasks is the value of TasksKey: the tasks of a service, sorted by ID.
type Tasks struct {
	Tasks []Task `json:"tasks"`
	// Total is how many there are, which is more than are listed if they are too
	// many for one value.
	Total int `json:"total"`
}

// UnmarshalJSON reads the plain array of Schema 1 as well.
func (t *Tasks) UnmarshalJSON(value []byte) error {
	if bytes.HasPrefix(value, []byte("[")) {
		if err := json.Unmarshal(value, &t.Tasks); err != nil {
			return err
		}
		t.Total = len(t.Tasks)
		return nil
	}
	type plain Tasks // without this method
	return json.Unmarshal(value, (*plain)(t))
}

// EncodeTasks returns the value of a service's tasks and how many of them are in it. If
// all take more than MaxTasks bytes they are as many as fit: those that run first, then
// by ID.
func EncodeTasks(tasks []Task) (value []byte, kept int, err error) {
	sorted := append([]Task{}, tasks...) // no tasks are an empty list, which is not the same as not known
	slices.SortFunc(sorted, byID)
	value, err = Encode(Tasks{sorted, len(tasks)})
	if err != nil || len(value) <= MaxTasks {
		return value, len(tasks), err
	}
	slices.SortStableFunc(sorted, func(a, b Task) int {
		switch {
		case a.Running() == b.Running():
			return 0
		case a.Running():
			return -1
		}
		return 1
	})
	room := MaxTasks - len(`{"tasks":[],"total":}`) - 20 // the digits of any number
	for kept = range sorted {
		one, err := Encode(sorted[kept])
		if err != nil {
			return nil, 0, err
		}
		if room -= len(one) + len(","); room < 0 {
			break
		}
	}
	sorted = sorted[:kept]
	slices.SortFunc(sorted, byID)
	value, err = Encode(Tasks{sorted, len(tasks)})
	return value, kept, err
}

func byID(a, b Task) int { return strings.Compare(a.ID, b.ID) }

// tasksBytes is how many bytes all tasks would take.
func tasksBytes(tasks []Task) int {
	value, err := Encode(Tasks{tasks, len(tasks)})
	if err != nil {
		return 0
	}
	return len(value)
}
