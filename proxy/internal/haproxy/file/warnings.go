package file

import "strings"

// slowPassword is how HAProxy warns of passwords whose check takes 10 ms or more. Whether
// it does depends on what else the machine does at that moment, so it says nothing of
// the configuration.
const slowPassword = "milliseconds to verify"

// Warnings returns the lines in which HAProxy, asked to check a configuration, warns of
// what is in it.
func Warnings(output string) []string {
	var out []string
	for line := range strings.Lines(output) {
		if strings.HasPrefix(line, "[WARNING]") && !strings.Contains(line, slowPassword) {
			out = append(out, strings.TrimSuffix(line, "\n"))
		}
	}
	return out
}
