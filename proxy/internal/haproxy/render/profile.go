package render

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
)

// Profile is a named defaults section with what backends do. All that do the same
// derive from the same one, so that HAProxy 3.4, which is told nothing but name and
// defaults section of a backend while it runs, can be told of a further one.
type Profile struct {
	// Name is made of the content, so that equal names are equal sections, and is the
	// same wherever files lie.
	Name string
	Text string
}

// profiled moves the lines of a backend's section into a profile. It is not ok if
// they cannot stand in a defaults section, or would not work from there.
func profiled(name, text string) (own string, p Profile, ok bool) {
	head := "backend " + name + " from " + Defaults + "\n"
	lines, ok := strings.CutPrefix(text, head)
	if !ok || lines == "" {
		return text, Profile{}, false
	}
	for line := range strings.Lines(lines) {
		if !inherited(strings.Fields(line)) {
			return text, Profile{}, false
		}
	}
	sum := sha256.Sum256([]byte(shared(lines)))
	p.Name = Defaults + "_" + hex.EncodeToString(sum[:6])
	p.Text = "defaults " + p.Name + " from " + Defaults + "\n" + lines
	return "backend " + name + " from " + p.Name + "\n", p, true
}

// inherited reports whether a line of a defaults section holds for a backend that is
// added while HAProxy runs. Compression does not: HAProxy 3.4 sets it up for
// backends of the file alone. Names for conditions and tables cannot stand there.
func inherited(words []string) bool {
	if len(words) == 0 {
		return false
	}
	switch words[0] {
	case "balance", "hash-type", "http-reuse", "http-check", "http-response", "http-after-response", "timeout", "retries", "retry-on", "cookie", "errorfile":
		return true
	case "http-request":
		return len(words) > 1 && !strings.HasPrefix(words[1], "track-sc")
	case "option":
		return true
	case "no":
		return len(words) > 1 && words[1] == "option"
	}
	return false
}

// from is the defaults section of a backend that has no lines of its own, empty for
// any other: the condition for telling a running HAProxy of it.
func from(name, text string) string {
	defaults, ok := strings.CutPrefix(text, "backend "+name+" from ")
	defaults = strings.TrimSuffix(defaults, "\n")
	if !ok || strings.Contains(defaults, "\n") {
		return ""
	}
	return defaults
}

// profiles are those of the sections, each once, sorted by name.
func profiles(sections map[string]*section) []Profile {
	var out []Profile
	for _, s := range sections {
		if s.profile.Name != "" {
			out = append(out, s.profile)
		}
	}
	slices.SortFunc(out, func(a, b Profile) int { return strings.Compare(a.Name, b.Name) })
	return slices.Compact(out)
}

// parseProfiles reads what stands between the frame and the first backend.
func parseProfiles(text string) []Profile {
	var out []Profile
	for block := range strings.SplitSeq(text, "\ndefaults ") {
		if strings.TrimSpace(block) == "" {
			continue
		}
		name, _, _ := strings.Cut(block, " ")
		out = append(out, Profile{Name: name, Text: "defaults " + strings.TrimRight(block, "\n") + "\n"})
	}
	return out
}

// ProfileNames are the names of the profiles of a configuration.
func (f File) ProfileNames() map[string]bool {
	out := make(map[string]bool, len(f.Profiles))
	for _, p := range f.Profiles {
		out[p.Name] = true
	}
	return out
}
