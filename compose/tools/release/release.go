// Package release makes what a version of Waggle consists of: binaries as archives, images as
// OCI layouts, lists of what they are made of, and checksums. It needs the Go toolchain, and
// for images with a base a place to read that from; no engine. The same commit gives the
// same bytes.
package release

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/content/oci"
)

// Options are what a release is made of.
type Options struct {
	// Root is the repository, Out the folder to be made.
	Root, Out string
	// Version is that of the release, without a v: 1.2.0; Revision the commit.
	Version, Revision string
	// Created is the time that everything bears: that of the commit.
	Created  time.Time
	Programs []Program
	// Bases are further sources of the image below a component's, see openBase, by its name.
	// The first that has the platform counts, and without one that of the Dockerfile.
	Bases map[string][]string
	// Digests are those of images of registries, see ReadDigests.
	Digests map[string]string
	// Push is the prefix of the names in a registry to which the images are copied; empty: none.
	Push string
	// Say tells a person what was made.
	Say func(format string, args ...any)
}

// tagged is what Docker takes for a tag, and may stand in the name of a file.
var tagged = regexp.MustCompile(`^[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.-]+)?$`)

// Platforms are those for which there are images.
func Platforms() []ispec.Platform {
	return []ispec.Platform{{OS: "linux", Architecture: "amd64"}, {OS: "linux", Architecture: "arm64"}}
}

// Programs are those of Waggle.
func Programs() []Program {
	var out []Program
	for _, name := range []string{"listener", "proxy", "monitor", "scaler"} {
		out = append(out, Program{Name: name, Binary: "waggle-" + name, Module: name, Command: "cmd/" + name, Dockerfile: name + "/Dockerfile", Platforms: Platforms()})
	}
	desks := []ispec.Platform{{OS: "darwin", Architecture: "amd64"}, {OS: "darwin", Architecture: "arm64"}}
	command := Program{Name: "waggle", Binary: "waggle", Module: "compose/waggle", Command: "cmd/waggle", Dockerfile: "compose/waggle/Dockerfile", Platforms: append(Platforms(), desks...)}
	out[0].Beside = []Program{command} // which asks the listener
	return append(out, command)
}

// Make makes a release. What cannot be made ends it, but for an image whose base has not the
// platform: that one is left out, and told.
func Make(ctx context.Context, o Options) error {
	if !tagged.MatchString(o.Version) {
		return fmt.Errorf("the version is %q; want one such as 1.2.0", o.Version)
	}
	if err := os.MkdirAll(o.Out, 0o755); err != nil {
		return err
	}
	scratch, err := os.MkdirTemp("", "waggle-release-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(scratch) }()
	sums := map[string][sha256.Size]byte{}
	write := func(name string, text []byte) error {
		sums[name] = sha256.Sum256(text)
		return os.WriteFile(filepath.Join(o.Out, name), text, 0o644)
	}
	var made []string
	for _, p := range o.Programs {
		images, err := o.program(ctx, p, scratch, write)
		if err != nil {
			return err
		}
		made = append(made, images...)
	}
	slices.Sort(made)
	if err := write("IMAGES", []byte(strings.Join(made, ""))); err != nil {
		return err
	}
	var names []string
	for name := range sums {
		names = append(names, name)
	}
	slices.Sort(names)
	list := ""
	for _, name := range names {
		list += fmt.Sprintf("%x  %s\n", sums[name], name)
	}
	return os.WriteFile(filepath.Join(o.Out, "SHA256SUMS"), []byte(list), 0o644)
}

// program makes binaries, bills and the image of one program, and returns the lines of its
// images: name, platform and digest.
func (o Options) program(ctx context.Context, p Program, scratch string, write func(string, []byte) error) ([]string, error) {
	var d dockerfile
	if p.Dockerfile != "" {
		text, err := os.ReadFile(filepath.Join(o.Root, p.Dockerfile))
		if err != nil {
			return nil, err
		}
		if d, err = readDockerfile(string(text)); err != nil {
			return nil, fmt.Errorf("%s: %w", p.Dockerfile, err)
		}
	}
	what := image{Name: p.Name, Version: o.Version, Revision: o.Revision, Created: o.Created}
	// Whoever reads the tag sees that an image is for tests alone.
	tag := o.Version
	var images []ispec.Descriptor
	var lines []string
	var store *oci.Store
	for _, platform := range p.Platforms {
		folder := filepath.Join(scratch, p.Name, platform.OS, platform.Architecture)
		if err := os.MkdirAll(filepath.Join(folder, "empty"), 0o755); err != nil {
			return nil, err
		}
		binary := filepath.Join(folder, p.Binary)
		if err := p.build(ctx, o.Root, o.Version, platform, binary); err != nil {
			return nil, err
		}
		for _, other := range p.Beside {
			if err := other.build(ctx, o.Root, o.Version, platform, filepath.Join(folder, other.Binary)); err != nil {
				return nil, err
			}
		}
		file := fmt.Sprintf("%s_%s_%s_%s", p.Binary, o.Version, platform.OS, platform.Architecture)
		packed, err := p.archive(binary, filepath.Join(o.Root, "LICENSE"), o.Created)
		if err != nil {
			return nil, err
		}
		if err := write(file+".tar.gz", packed); err != nil {
			return nil, err
		}
		var below base
		hasImage := p.Dockerfile != "" && platform.OS == "linux"
		if hasImage && d.Base != "" {
			below, err = o.base(ctx, p.Name, d.Base, platform, scratch)
			switch {
			case errors.Is(err, errNoPlatform):
				o.Say("%s: no image for %s: %v", p.Name, name(platform), err)
				hasImage = false
			case err != nil:
				return nil, err
			case below.StandIn:
				tag = o.Version + "-stand-in"
			}
		}
		bill, err := p.bill(binary, o.Version, o.Created, below)
		if err != nil {
			return nil, err
		}
		if err := write(file+".cdx.json", bill); err != nil {
			return nil, err
		}
		o.Say("%s: %s", p.Binary, name(platform))
		if !hasImage {
			continue
		}
		if store == nil {
			if store, err = oci.New(filepath.Join(o.Out, "oci", p.Name)); err != nil {
				return nil, err
			}
		}
		desc, err := what.build(ctx, store, d, below, folder, platform)
		if err != nil {
			return nil, fmt.Errorf("the image of %s for %s: %w", p.Name, name(platform), err)
		}
		images = append(images, desc)
		lines = append(lines, fmt.Sprintf("%s %s %s\n", p.Name, name(platform), desc.Digest))
	}
	if len(images) == 0 {
		return nil, nil
	}
	index, err := what.index(ctx, store, tag, images)
	if err != nil {
		return nil, err
	}
	lines = append(lines, fmt.Sprintf("%s %s %s\n", p.Name, tag, index.Digest))
	o.Say("image: oci/%s:%s (%d platforms)", p.Name, tag, len(images))
	if o.Push == "" {
		return lines, nil
	}
	if tag != o.Version {
		return nil, fmt.Errorf("the image of %s has a stand-in below it, which is for tests alone, so it is not pushed; give a base: -base %s=NAME", p.Name, p.Name)
	}
	to := path.Join(o.Push, p.Name)
	if err := upload(ctx, store, tag, to+":"+tag); err != nil {
		return nil, fmt.Errorf("%s cannot be pushed: %w", to, err)
	}
	o.Say("pushed: %s:%s", to, tag)
	return lines, nil
}

// base finds the image below a component's for a platform.
func (o Options) base(ctx context.Context, component, byDefault string, platform ispec.Platform, scratch string) (base, error) {
	sources := o.Bases[component]
	if len(sources) == 0 {
		sources = []string{pinned(byDefault, o.Digests)}
	}
	var missing error
	for _, source := range sources {
		b, err := openBase(ctx, source, platform, scratch)
		if err == nil || !errors.Is(err, errNoPlatform) {
			return b, err
		}
		missing = errors.Join(missing, err)
	}
	return base{}, missing
}
