package release

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2"
	"oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/content/oci"
	"oras.land/oras-go/v2/errdef"
	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/credentials"
)

// errNoPlatform says that a base has no image for a platform.
var errNoPlatform = errors.New("there is no image for the platform")

// base is an image below ours, for one platform.
type base struct {
	// Name is what it was called, Digest that of its manifest for the platform.
	Name   string
	Digest digest.Digest
	// StandIn says that it only stands for the official image, in tests.
	StandIn  bool
	Config   imageConfig
	Manifest ispec.Manifest
	from     oras.ReadOnlyTarget
}

// openBase finds a base at one of
//
//	archive:FILE   what 'docker save' wrote, with one image
//	oci:FOLDER     an OCI layout with one image or index
//	NAME           an image of a registry, by tag or digest
//
// and in it the image for a platform.
func openBase(ctx context.Context, source string, platform ispec.Platform, scratch string) (base, error) {
	var from oras.ReadOnlyTarget
	var reference string
	var err error
	kind, where, _ := strings.Cut(source, ":")
	switch kind {
	case "archive":
		from, err = openArchive(ctx, where, scratch)
		reference = archived
	case "oci":
		from, reference, err = openLayout(ctx, where)
	default:
		from, reference, err = openRepository(source)
	}
	if err != nil {
		return base{}, fmt.Errorf("the base %s: %w", source, err)
	}
	b, err := readBase(ctx, from, reference, platform)
	if err != nil {
		return base{}, fmt.Errorf("the base %s: %w", source, err)
	}
	if b.Name = source; kind == "archive" || kind == "oci" {
		b.Name = filepath.Base(where)
	}
	return b, nil
}

func readBase(ctx context.Context, from oras.ReadOnlyTarget, reference string, platform ispec.Platform) (base, error) {
	b := base{from: from}
	root, err := from.Resolve(ctx, reference)
	if err != nil {
		return b, err
	}
	manifest := root
	if root.MediaType == ispec.MediaTypeImageIndex || strings.Contains(root.MediaType, "manifest.list") {
		text, err := content.FetchAll(ctx, from, root)
		if err != nil {
			return b, err
		}
		var index ispec.Index
		if err := json.Unmarshal(text, &index); err != nil {
			return b, err
		}
		found := false
		for _, m := range index.Manifests {
			if p := m.Platform; p != nil && p.OS == platform.OS && p.Architecture == platform.Architecture {
				manifest, found = m, true
				break
			}
		}
		if !found {
			return b, fmt.Errorf("%w %s", errNoPlatform, name(platform))
		}
	}
	text, err := content.FetchAll(ctx, from, manifest)
	if err != nil {
		return b, err
	}
	if err := json.Unmarshal(text, &b.Manifest); err != nil {
		return b, err
	}
	config, err := content.FetchAll(ctx, from, b.Manifest.Config)
	if err != nil {
		return b, err
	}
	if err := json.Unmarshal(config, &b.Config); err != nil {
		return b, err
	}
	if b.Config.OS != platform.OS || b.Config.Architecture != platform.Architecture {
		return b, fmt.Errorf("%w %s: it is for %s", errNoPlatform, name(platform), name(b.Config.Platform))
	}
	b.Digest = manifest.Digest
	// What bases.sh made has this label.
	_, b.StandIn = b.Config.Config.Labels["waggle.recipe"]
	return b, nil
}

func openLayout(ctx context.Context, folder string) (oras.ReadOnlyTarget, string, error) {
	store, err := oci.NewFromFS(ctx, os.DirFS(folder))
	if err != nil {
		return nil, "", err
	}
	text, err := os.ReadFile(filepath.Join(folder, ispec.ImageIndexFile))
	if err != nil {
		return nil, "", err
	}
	var index ispec.Index
	if err := json.Unmarshal(text, &index); err != nil {
		return nil, "", err
	}
	// What an index names may stand beside it, without a name.
	named := slices.DeleteFunc(slices.Clone(index.Manifests), func(d ispec.Descriptor) bool { return d.Annotations[ispec.AnnotationRefName] == "" })
	if len(named) == 0 {
		named = index.Manifests
	}
	if len(named) != 1 {
		return nil, "", fmt.Errorf("want a layout with one image or index, and this has %d", len(named))
	}
	return store, named[0].Digest.String(), nil
}

// openRepository connects to the repository of an image, with what 'docker login' has left.
func openRepository(image string) (*remote.Repository, string, error) {
	first, rest, hasPath := strings.Cut(image, "/")
	switch { // as Docker completes names
	case !hasPath:
		image = "docker.io/library/" + image
	case !strings.ContainsAny(first, ".:") && first != "localhost":
		image = "docker.io/" + first + "/" + rest
	}
	r, err := remote.NewRepository(image)
	if err != nil {
		return nil, "", err
	}
	host, _, _ := strings.Cut(r.Reference.Host(), ":")
	r.PlainHTTP = host == "localhost" || strings.HasPrefix(host, "127.")
	// Whoever has not logged in is asked for nothing, too.
	if store, err := credentials.NewStoreFromDocker(credentials.StoreOptions{}); err == nil {
		r.Client = &auth.Client{Cache: auth.NewCache(), Credential: credentials.Credential(store)}
	}
	return r, r.Reference.Reference, nil
}

// archived is how the image of an archive is called once it is a layout.
const archived = "archived"

// openArchive makes a layout of what 'docker save' wrote, in a folder of its own.
func openArchive(ctx context.Context, file, scratch string) (oras.ReadOnlyTarget, error) {
	folder, err := os.MkdirTemp(scratch, "archive-")
	if err != nil {
		return nil, err
	}
	store, err := oci.New(folder)
	if err != nil {
		return nil, err
	}
	var contents []struct {
		Config string
		Layers []string
	}
	text, err := member(file, "manifest.json")
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(text, &contents); err != nil {
		return nil, err
	}
	if len(contents) != 1 {
		return nil, fmt.Errorf("want an archive with one image, and this has %d", len(contents))
	}
	config, err := member(file, contents[0].Config)
	if err != nil {
		return nil, err
	}
	manifest := ispec.Manifest{MediaType: ispec.MediaTypeImageManifest, Config: content.NewDescriptorFromBytes(ispec.MediaTypeImageConfig, config)}
	manifest.SchemaVersion = 2
	if err := push(ctx, store, manifest.Config, config); err != nil {
		return nil, err
	}
	for _, path := range contents[0].Layers {
		layer, err := member(file, path)
		if err != nil {
			return nil, err
		}
		kind := ispec.MediaTypeImageLayerGzip
		if !bytes.HasPrefix(layer, []byte{0x1f, 0x8b}) {
			if layer, err = zipped(layer); err != nil {
				return nil, err
			}
		}
		desc := content.NewDescriptorFromBytes(kind, layer)
		if err := push(ctx, store, desc, layer); err != nil {
			return nil, err
		}
		manifest.Layers = append(manifest.Layers, desc)
	}
	text, err = json.Marshal(manifest)
	if err != nil {
		return nil, err
	}
	desc := content.NewDescriptorFromBytes(ispec.MediaTypeImageManifest, text)
	if err := push(ctx, store, desc, text); err != nil {
		return nil, err
	}
	return store, store.Tag(ctx, desc, archived)
}

// member returns a file of a tar archive. A link within it, as 'docker save' makes of layers
// that are equal, is followed.
func member(archive, path string) ([]byte, error) {
	f, err := os.Open(archive)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	r := tar.NewReader(f)
	for {
		h, err := r.Next()
		switch {
		case errors.Is(err, io.EOF):
			return nil, fmt.Errorf("%s has no %s", archive, path)
		case err != nil:
			return nil, err
		case h.Name != path:
		case h.Typeflag == tar.TypeSymlink:
			return member(archive, filepath.Join(filepath.Dir(path), h.Linkname))
		default:
			return io.ReadAll(r)
		}
	}
}

// push puts a blob where it may be already.
func push(ctx context.Context, to content.Pusher, desc ispec.Descriptor, blob []byte) error {
	err := to.Push(ctx, desc, bytes.NewReader(blob))
	if errors.Is(err, errdef.ErrAlreadyExists) {
		return nil
	}
	return err
}
