// Command release makes a release of Waggle, or looks up the digests of the images below
// its own, as 'make release' and 'make pin' do. It runs at the root of the repository.
//
//	release -version 1.2.0 -revision COMMIT -time SECONDS -out FOLDER [-base NAME=SOURCE ...] [-only NAME,NAME] [-push PREFIX]
//	release -pin
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/wagglehq/waggle/compose/tools/release"
	"github.com/wagglehq/waggle/pkg/atomicfile"
)

const digests = "compose/images/digests.txt"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintf(os.Stderr, "release: %v\n", err)
		os.Exit(1)
	}
}

func say(format string, args ...any) { fmt.Printf("release: "+format+"\n", args...) }

func run(ctx context.Context) error {
	o := release.Options{Root: ".", Bases: map[string][]string{}, Programs: release.Programs(), Say: say}
	var seconds int64
	var only string
	pin := flag.Bool("pin", false, "look up the digests of the images below")
	flag.StringVar(&o.Version, "version", "", "the version, such as 1.2.0")
	flag.StringVar(&o.Revision, "revision", "", "the commit")
	flag.Int64Var(&seconds, "time", 0, "the time that everything bears, in seconds since 1970")
	flag.StringVar(&o.Out, "out", "dist/release", "the folder to be made")
	flag.StringVar(&o.Push, "push", "", "prefix of names in a registry to which images are copied")
	flag.StringVar(&only, "only", "", "names of the programs, separated by commas; all if there is none")
	flag.Func("base", "NAME=SOURCE, an image below that of a component: archive:FILE, oci:FOLDER, or a name in a registry; may be repeated", func(text string) error {
		name, source, ok := strings.Cut(text, "=")
		if !ok {
			return fmt.Errorf("want NAME=SOURCE")
		}
		o.Bases[name] = append(o.Bases[name], source)
		return nil
	})
	flag.Parse()
	text, err := os.ReadFile(digests)
	if err != nil {
		return err
	}
	if o.Digests, err = release.ReadDigests(string(text)); err != nil {
		return fmt.Errorf("%s: %w", digests, err)
	}
	if *pin {
		images, err := below()
		if err != nil {
			return err
		}
		_, err = atomicfile.Write(digests, []byte(release.Pin(ctx, images, o.Digests, say)), 0o644)
		return err
	}
	o.Created = time.Unix(seconds, 0).UTC()
	if only != "" {
		o.Programs = slices.DeleteFunc(o.Programs, func(p release.Program) bool {
			return !slices.Contains(strings.Split(only, ","), p.Name)
		})
	}
	return release.Make(ctx, o)
}

// below are the images that ours stand on, and the one that is used as it is.
func below() ([]string, error) {
	text, err := os.ReadFile("compose/images/images.sh")
	if err != nil {
		return nil, err
	}
	line := regexp.MustCompile(`(?m)^declare -A official=\((.*)\)$`).FindSubmatch(text)
	if line == nil {
		return nil, fmt.Errorf("compose/images/images.sh names no official images")
	}
	var out []string
	for _, m := range regexp.MustCompile(`\[[a-z]+\]=(\S+)`).FindAllSubmatch(line[1], -1) {
		out = append(out, string(m[1]))
	}
	return out, nil
}
