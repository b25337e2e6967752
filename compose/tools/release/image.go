package release

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2"
	"oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/content/oci"
)

// imageConfig is the configuration of an image as Docker has it: OCI's, and a health check.
type imageConfig struct {
	ispec.Image
	Config runConfig `json:"config"`
}

type runConfig struct {
	ispec.ImageConfig
	Healthcheck *healthcheck `json:",omitempty"`
}

func name(p ispec.Platform) string { return p.OS + "/" + p.Architecture }

// image is what is said of one image, beside its Dockerfile and its base.
type image struct {
	Name, Version, Revision string
	Created                 time.Time
}

// annotations are by which others know an image.
func (i image) annotations(b base) map[string]string {
	out := map[string]string{
		ispec.AnnotationTitle: "waggle-" + i.Name, ispec.AnnotationVersion: i.Version, ispec.AnnotationRevision: i.Revision,
		ispec.AnnotationCreated: i.Created.Format(time.RFC3339), ispec.AnnotationLicenses: "Apache-2.0",
	}
	if b.Name != "" {
		out[ispec.AnnotationBaseImageName], out[ispec.AnnotationBaseImageDigest] = b.Name, b.Digest.String()
	}
	return out
}

// build puts an image for a platform into a store and returns its descriptor. The folder has
// what the Dockerfile copies. The same input gives the same digest.
func (i image) build(ctx context.Context, store *oci.Store, d dockerfile, b base, folder string, platform ispec.Platform) (ispec.Descriptor, error) {
	config := b.Config
	config.Platform, config.Created = platform, &i.Created
	config.RootFS.Type = "layers"
	run := &config.Config
	if len(d.Entrypoint) > 0 { // which takes the base's command away, as in docker build
		run.Entrypoint, run.Cmd = d.Entrypoint, nil
	}
	if d.User != "" {
		run.User = d.User
	}
	if d.StopSignal != "" {
		run.StopSignal = d.StopSignal
	}
	run.Healthcheck = d.Healthcheck
	ports := map[string]struct{}{}
	for _, port := range d.Expose {
		ports[port+"/tcp"] = struct{}{}
	}
	for port := range run.ExposedPorts {
		ports[port] = struct{}{}
	}
	run.ExposedPorts = ports
	annotations := i.annotations(b)
	labels := map[string]string{}
	for _, from := range []map[string]string{run.Labels, annotations} {
		for k, v := range from {
			labels[k] = v
		}
	}
	run.Labels = labels
	manifest := ispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ispec.MediaTypeImageManifest, Annotations: annotations}
	for _, layer := range b.Manifest.Layers {
		blob, err := content.FetchAll(ctx, b.from, layer)
		if err != nil {
			return ispec.Descriptor{}, err
		}
		// Docker's names of kinds of layers mean the same as OCI's.
		desc := content.NewDescriptorFromBytes(ispec.MediaTypeImageLayerGzip, blob)
		if err := push(ctx, store, desc, blob); err != nil {
			return ispec.Descriptor{}, err
		}
		manifest.Layers = append(manifest.Layers, desc)
	}
	plain, err := d.layer(folder, i.Created, b.Name == "")
	if err != nil {
		return ispec.Descriptor{}, err
	}
	packed, err := zipped(plain)
	if err != nil {
		return ispec.Descriptor{}, err
	}
	desc := content.NewDescriptorFromBytes(ispec.MediaTypeImageLayerGzip, packed)
	if err := push(ctx, store, desc, packed); err != nil {
		return ispec.Descriptor{}, err
	}
	manifest.Layers = append(manifest.Layers, desc)
	config.RootFS.DiffIDs = append(slices.Clone(config.RootFS.DiffIDs), digest.FromBytes(plain))
	config.History = append(slices.Clone(config.History), ispec.History{Created: &i.Created, CreatedBy: "make release"})
	said, err := json.Marshal(config)
	if err != nil {
		return ispec.Descriptor{}, err
	}
	manifest.Config = content.NewDescriptorFromBytes(ispec.MediaTypeImageConfig, said)
	if err := push(ctx, store, manifest.Config, said); err != nil {
		return ispec.Descriptor{}, err
	}
	text, err := json.Marshal(manifest)
	if err != nil {
		return ispec.Descriptor{}, err
	}
	desc = content.NewDescriptorFromBytes(ispec.MediaTypeImageManifest, text)
	desc.Platform = &platform
	return desc, push(ctx, store, ispec.Descriptor{MediaType: desc.MediaType, Digest: desc.Digest, Size: desc.Size}, text)
}

// index names the images of all platforms by a tag.
func (i image) index(ctx context.Context, store *oci.Store, tag string, images []ispec.Descriptor) (ispec.Descriptor, error) {
	index := ispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ispec.MediaTypeImageIndex, Manifests: images, Annotations: i.annotations(base{})}
	text, err := json.Marshal(index)
	if err != nil {
		return ispec.Descriptor{}, err
	}
	desc := content.NewDescriptorFromBytes(ispec.MediaTypeImageIndex, text)
	if err := push(ctx, store, desc, text); err != nil {
		return ispec.Descriptor{}, err
	}
	return desc, store.Tag(ctx, desc, tag)
}

// layer is a tar archive of what is copied. Without a base the folders above are in it too.
func (d dockerfile) layer(folder string, created time.Time, parents bool) ([]byte, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	made := map[string]bool{".": true}
	dir := func(name string, uid, gid int) error {
		if made[name] {
			return nil
		}
		made[name] = true
		return w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: 0o755, Uid: uid, Gid: gid, ModTime: created})
	}
	for _, c := range d.Copies {
		to := strings.Trim(c.To, "/")
		if parents {
			var above []string
			for at := path.Dir(to); at != "."; at = path.Dir(at) {
				above = append(above, at)
			}
			for _, at := range slices.Backward(above) {
				if err := dir(at, 0, 0); err != nil {
					return nil, err
				}
			}
		}
		if strings.HasSuffix(c.From, "/") {
			entries, err := os.ReadDir(filepath.Join(folder, c.From))
			if err != nil {
				return nil, err
			}
			if len(entries) > 0 {
				return nil, fmt.Errorf("COPY %s: a release copies empty folders alone", c.From)
			}
			if err := dir(to, c.UID, c.GID); err != nil {
				return nil, err
			}
			continue
		}
		text, err := os.ReadFile(filepath.Join(folder, c.From))
		if err != nil {
			return nil, err
		}
		h := &tar.Header{Typeflag: tar.TypeReg, Name: to, Mode: 0o755, Uid: c.UID, Gid: c.GID, Size: int64(len(text)), ModTime: created}
		if err := w.WriteHeader(h); err != nil {
			return nil, err
		}
		if _, err := w.Write(text); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// zipped compresses without anything that differs from one time to the next.
func zipped(text []byte) ([]byte, error) {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(text); err != nil {
		return nil, err
	}
	err := w.Close()
	return b.Bytes(), err
}

// upload copies an image of all platforms to a registry.
func upload(ctx context.Context, store oras.ReadOnlyTarget, tag, to string) error {
	repository, _, err := openRepository(to)
	if err != nil {
		return err
	}
	_, err = oras.Copy(ctx, store, tag, repository, tag, oras.DefaultCopyOptions)
	return err
}
