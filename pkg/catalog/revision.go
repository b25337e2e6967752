package catalog

// RevisionOf is that of the entry of a service, or the zero Revision if it has none.
func (s Snapshot) RevisionOf(id string) Revision {
	sequence, ok := s.Revisions[id]
	if !ok {
		return Revision{}
	}
	return Revision{Epoch: s.Revision.Epoch, Sequence: sequence}
}

// TaskCount is how many tasks of a service there are, which is more than Tasks lists
// if that list is cut.
func (s Snapshot) TaskCount(id string) int { return max(s.Cut[id], len(s.Tasks[id])) }
