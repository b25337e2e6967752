package release

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Program is one binary of a release.
type Program struct {
	// Name is that of the component ("proxy"), Binary that of the file ("waggle-proxy").
	Name, Binary string
	// Module is its folder in the repository, Command that of its main package in it.
	Module, Command string
	// Dockerfile is its path in the repository; empty: there is no image of it.
	Dockerfile string
	// Platforms are those of its binaries; images are made for those with Linux.
	Platforms []ispec.Platform
	// Beside are further programs that its image brings.
	Beside []Program
}

// build compiles the program for a platform, in its own module, without anything of the
// machine's that could differ.
func (p Program) build(ctx context.Context, root, version string, platform ispec.Platform, to string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w -X main.version="+version, "-o", to, "./"+p.Command)
	cmd.Dir = filepath.Join(root, p.Module)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off", "GOOS="+platform.OS, "GOARCH="+platform.Architecture, "GOAMD64=v1", "GOFLAGS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s for %s does not build: %w\n%s", p.Binary, name(platform), err, out)
	}
	return nil
}

// archive is the program with its licence, as a tar.gz.
func (p Program) archive(binary, licence string, created time.Time) ([]byte, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range []struct {
		from, to string
		mode     int64
	}{{binary, p.Binary, 0o755}, {licence, "LICENSE", 0o644}} {
		text, err := os.ReadFile(f.from)
		if err != nil {
			return nil, err
		}
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: f.to, Mode: f.mode, Size: int64(len(text)), ModTime: created}); err != nil {
			return nil, err
		}
		if _, err := w.Write(text); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return zipped(b.Bytes())
}

// bill is the list of what a binary is made of (CycloneDX), read from what the compiler wrote
// into it, and of the image below, if there is one.
func (p Program) bill(binary, version string, created time.Time, b base) ([]byte, error) {
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(binary)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(text)
	module := func(path, version, hash string) cdx.Component {
		c := cdx.Component{Type: cdx.ComponentTypeLibrary, Name: path, Version: version, PackageURL: "pkg:golang/" + path + "@" + version}
		c.BOMRef = c.PackageURL
		if hash != "" {
			c.Properties = &[]cdx.Property{{Name: "go:sum", Value: hash}}
		}
		return c
	}
	components := []cdx.Component{module("std", info.GoVersion, "")}
	for _, d := range info.Deps {
		if d.Replace != nil && d.Replace.Version == "" { // a module of this repository
			components = append(components, module(d.Path, version, ""))
			continue
		}
		if d.Replace != nil {
			d = d.Replace
		}
		components = append(components, module(d.Path, d.Version, d.Sum))
	}
	if b.Name != "" {
		components = append(components, cdx.Component{Type: cdx.ComponentTypeContainer, Name: b.Name, Version: b.Digest.String(), BOMRef: b.Name})
	}
	bom := cdx.NewBOM()
	id := hex.EncodeToString(sum[:]) // in the form of a random UUID, and yet the same each time
	bom.SerialNumber = "urn:uuid:" + id[:8] + "-" + id[8:12] + "-4" + id[13:16] + "-8" + id[17:20] + "-" + id[20:32]
	bom.Metadata = &cdx.Metadata{
		Timestamp: created.Format(time.RFC3339),
		Component: &cdx.Component{
			Type: cdx.ComponentTypeApplication, BOMRef: p.Binary, Name: p.Binary, Version: version,
			Hashes:   &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: hex.EncodeToString(sum[:])}},
			Licenses: &cdx.Licenses{{License: &cdx.License{ID: "Apache-2.0"}}},
		},
	}
	bom.Components = &components
	var out bytes.Buffer
	err = cdx.NewBOMEncoder(&out, cdx.BOMFileFormatJSON).SetPretty(true).Encode(bom)
	return out.Bytes(), err
}
