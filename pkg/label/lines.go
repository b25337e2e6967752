package label

import "strings"

// Lines returns a text of several lines. A line may end as it does in a file or with
// the two characters \n, because a label in a stack file has one line. It is "" when
// the label is absent.
func (g Group) Lines(name string) string {
	_, text, _ := g.find(name)
	return strings.NewReplacer(`\r\n`, "\n", `\n`, "\n", "\r\n", "\n").Replace(text)
}
