package runtime

import (
	"context"
	"fmt"
	"strings"
)

// AddACL adds a pattern to a list, known by its file name in the configuration.
func AddACL(list, pattern string) Command {
	return command("add acl", mapname(list), key(pattern))
}

// DelACL removes a pattern from a list.
func DelACL(list, pattern string) Command {
	return command("del acl", mapname(list), key(pattern))
}

// ShowACL returns the patterns of a list in the order in which they are kept.
func (c *Client) ShowACL(ctx context.Context, list string) ([]string, error) {
	text, err := c.one(ctx, show("show acl", mapname(list)))
	if err != nil {
		return nil, err
	}
	var out []string
	for line := range strings.Lines(text) {
		_, pattern, ok := strings.Cut(strings.TrimRight(line, "\n"), " ")
		if !ok {
			return nil, fmt.Errorf("haproxy: show acl %s: not a pattern: %q", list, line)
		}
		out = append(out, pattern)
	}
	return out, nil
}
