package signal

import "time"

// Shows reports whether a step has done what it was made for, when a service asks for so
// many replicas and so many tasks run: all tasks of one up run, and of one down no others.
func (s Step) Shows(replicas, running uint64) bool {
	return running == replicas || s.Direction != Down && running > replicas
}

// Recorded returns the changes that count for limits within the longest time, after a change.
func (s *Step) Recorded(c Change, longest time.Duration) []Change {
	if longest <= 0 {
		return nil
	}
	return append(s.Since(c.Time.Add(-longest)), c)
}
