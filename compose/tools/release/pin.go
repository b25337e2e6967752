package release

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

var digestLine = regexp.MustCompile(`^(\S+) (sha256:[0-9a-f]{64})$`)

const digestsHead = `# The digests of the images below Waggle's, one on each line: NAME:TAG DIGEST. They are
# looked up by 'make pin', and hold for 'make images' and 'make release'. An image that is
# not here is taken by its tag.
`

// ReadDigests reads the file of digests.
func ReadDigests(text string) (map[string]string, error) {
	out := map[string]string{}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		m := digestLine.FindStringSubmatch(line)
		if m == nil {
			return nil, fmt.Errorf("%q: want NAME:TAG sha256:DIGEST", line)
		}
		out[m[1]] = m[2]
	}
	return out, nil
}

// pinned is an image by its digest, if that is known.
func pinned(image string, digests map[string]string) string {
	if d := digests[image]; d != "" {
		return image + "@" + d
	}
	return image
}

// Pin looks up the digests of images and returns the file of digests. Those that cannot be
// had keep what they had, and are told.
func Pin(ctx context.Context, images []string, had map[string]string, say func(format string, args ...any)) string {
	out := digestsHead
	for _, image := range slices.Sorted(slices.Values(images)) {
		digest, err := lookUp(ctx, image)
		if err != nil {
			say("%s: no digest to be had: %v", image, err)
			digest = had[image]
		}
		if digest != "" {
			out += image + " " + digest + "\n"
		}
	}
	return out
}

func lookUp(ctx context.Context, image string) (string, error) {
	r, tag, err := openRepository(image)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	desc, err := r.Resolve(ctx, tag)
	if err != nil {
		return "", err
	}
	return desc.Digest.String(), nil
}
