package plan

import (
	"github.com/wagglehq/waggle/proxy/internal/haproxy/file"
)

// Profile moves the lines of a backend's section into a named defaults section. All that do
// the same derive from the same one: its name is made of the content, so that equal names
// are equal sections, and is the same wherever files lie. The profile is nil if the lines
// cannot stand in a defaults section, or would not work from there.
func Profile(dir string, s *file.Section) (own, profile *file.Section) {
	if s.From != file.Defaults || len(s.Lines) == 0 {
		return s, nil
	}
	for _, l := range s.Lines {
		if l.Flags&file.Inherit == 0 {
			return s, nil
		}
	}
	name := file.Defaults + "_" + s.Fingerprint()
	return file.NewSection(dir, file.KindBackend, s.Name, name), file.NewSection(dir, file.KindDefaults, name, file.Defaults, s.Lines...)
}
