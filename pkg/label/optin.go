package label

import (
	"fmt"
	"slices"
	"strings"
)

// Absence is why a service takes no part, in the same words wherever it is told.
type Absence struct {
	// Label is the full name of the label that is missing, wrong or in the wrong place.
	Label, Reason, Hint string
}

// NotOptedIn says why a service of this name has not opted in, by the label notify. Its labels are
// those of the service and those of its containers.
func NotOptedIn(notify, service string, own, container map[string]string) Absence {
	text, has := own[notify]
	misplaced := Misplaced(own, container)
	optIn := fmt.Sprintf("To opt in: docker service update --label-add %s=true %s, or the same under deploy.labels in the stack file.", notify, service)
	switch {
	case len(misplaced) > 0 && !has:
		return OnContainer(misplaced[0])
	case !has:
		return Absence{notify, "the service has not opted in: it has no label " + notify + "=true", optIn}
	case strings.EqualFold(text, "false"):
		return Absence{notify, "the service has opted out: " + notify + "=false", optIn}
	}
	fault := &Fault{Label: notify, Text: Show(text, false), Want: "true"}
	return Absence{notify, "the service has not opted in: " + fault.Error(), optIn}
}

// OnContainer says of a label that it stands where it has no effect.
func OnContainer(full string) Absence {
	return Absence{full, fmt.Sprintf("the label %s stands on the container, not on the service, where alone it counts", Show(full, false)), MoveToService}
}

// MoveToService is what to do with a label that stands on the container.
const MoveToService = "In a stack file write it under deploy.labels instead of labels; docker service create takes it with --label instead of --container-label."

// Misplaced returns the labels that stand on the container and not, with the same text, on
// the service too; sorted.
func Misplaced(own, container map[string]string) []string {
	var out []string
	for full, text := range container {
		if there, ok := own[full]; !ok || there != text {
			out = append(out, full)
		}
	}
	slices.Sort(out)
	return out
}
