package release

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"
	"go.yaml.in/yaml/v3"
	"oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/content/oci"

	"github.com/wagglehq/waggle/pkg/tooltest"
)

const root = "../../.."

var commit = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)

// hello is a program of the tests, small enough to be built in seconds for two platforms.
func hello(dockerfile string) Program {
	return Program{Name: "hello", Binary: "hello", Module: "compose/tools", Command: "release/testdata/hello", Dockerfile: "compose/tools/release/testdata/" + dockerfile, Platforms: Platforms()}
}

func options(t *testing.T, p Program) Options {
	return Options{
		Root: root, Out: t.TempDir(), Version: "1.2.0", Revision: "abc", Created: commit, Programs: []Program{p},
		Say: func(format string, args ...any) { t.Logf(format, args...) },
	}
}

// savedImage is what 'docker save' wrote of an image.
func savedImage(t *testing.T, arch string, labels map[string]string) string {
	t.Helper()
	var layer bytes.Buffer
	w := tar.NewWriter(&layer)
	tooltest.Must(t, w.WriteHeader(&tar.Header{Name: "etc/base", Mode: 0o644, Size: 4}))
	_, err := w.Write([]byte("base"))
	tooltest.Must(t, err)
	tooltest.Must(t, w.Close())
	config := imageConfig{Image: ispec.Image{Platform: ispec.Platform{OS: "linux", Architecture: arch}}}
	config.RootFS = ispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{digest.FromBytes(layer.Bytes())}}
	config.Config.ImageConfig = ispec.ImageConfig{Cmd: []string{"/base", "-serve"}, Env: []string{"A=1"}, Labels: labels, WorkingDir: "/w"}
	said, err := json.Marshal(config)
	tooltest.Must(t, err)
	file := filepath.Join(t.TempDir(), "base.tar")
	out, err := os.Create(file)
	tooltest.Must(t, err)
	w = tar.NewWriter(out)
	for name, text := range map[string][]byte{
		"abc.json": said, "layer/layer.tar": layer.Bytes(), "manifest.json": []byte(`[{"Config": "abc.json", "RepoTags": ["x:1"], "Layers": ["layer/layer.tar"]}]`),
	} {
		tooltest.Must(t, w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(text))}))
		_, err := w.Write(text)
		tooltest.Must(t, err)
	}
	tooltest.Must(t, w.Close())
	tooltest.Must(t, out.Close())
	return file
}

// made is an image of a layout, for one platform.
type made struct {
	config imageConfig
	files  map[string]*tar.Header
	texts  map[string][]byte
}

// image reads one by its tag, and each of its parts by its digest.
func readImage(t *testing.T, o Options, tag, arch string) made {
	t.Helper()
	store, err := oci.NewFromFS(t.Context(), os.DirFS(filepath.Join(o.Out, "oci", "hello")))
	tooltest.Must(t, err)
	b, err := readBase(t.Context(), store, tag, ispec.Platform{OS: "linux", Architecture: arch})
	tooltest.Must(t, err)
	m := made{b.Config, map[string]*tar.Header{}, map[string][]byte{}}
	for i, desc := range b.Manifest.Layers {
		blob, err := content.FetchAll(t.Context(), store, desc)
		tooltest.Must(t, err)
		plain, err := gzip.NewReader(bytes.NewReader(blob))
		tooltest.Must(t, err)
		text, err := io.ReadAll(plain)
		tooltest.Must(t, err)
		if got := digest.FromBytes(text); got != b.Config.RootFS.DiffIDs[i] {
			t.Errorf("layer %d is %s, and the configuration says %s", i, got, b.Config.RootFS.DiffIDs[i])
		}
		r := tar.NewReader(bytes.NewReader(text))
		for {
			h, err := r.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			tooltest.Must(t, err)
			m.files[h.Name] = h
			m.texts[h.Name], err = io.ReadAll(r)
			tooltest.Must(t, err)
		}
	}
	return m
}

// A release has, for each platform, a binary, the list of what it is made of, and an image
// that runs it; its checksums hold, and made again it is the same.
func TestARelease(t *testing.T) {
	t.Parallel()
	o := options(t, hello("Dockerfile.plain"))
	tooltest.Must(t, Make(t.Context(), o))

	sums, err := os.ReadFile(filepath.Join(o.Out, "SHA256SUMS"))
	tooltest.Must(t, err)
	var names []string
	for line := range strings.Lines(string(sums)) {
		words := strings.Fields(line)
		text, err := os.ReadFile(filepath.Join(o.Out, words[1]))
		tooltest.Must(t, err)
		if got := fmt.Sprintf("%x", sha256.Sum256(text)); got != words[0] {
			t.Errorf("%s has the sum %s, and SHA256SUMS says %s", words[1], got, words[0])
		}
		names = append(names, words[1])
	}
	want := []string{"IMAGES", "hello_1.2.0_linux_amd64.cdx.json", "hello_1.2.0_linux_amd64.tar.gz", "hello_1.2.0_linux_arm64.cdx.json", "hello_1.2.0_linux_arm64.tar.gz"}
	if !slices.Equal(names, want) {
		t.Errorf("there are %v, want %v", names, want)
	}
	images, err := os.ReadFile(filepath.Join(o.Out, "IMAGES"))
	tooltest.Must(t, err)
	for _, line := range []string{"hello 1.2.0 sha256:", "hello linux/amd64 sha256:", "hello linux/arm64 sha256:"} {
		if !strings.Contains(string(images), line) {
			t.Errorf("IMAGES has no %q:\n%s", line, images)
		}
	}

	var bom cdx.BOM
	text, err := os.ReadFile(filepath.Join(o.Out, "hello_1.2.0_linux_arm64.cdx.json"))
	tooltest.Must(t, err)
	tooltest.Must(t, json.Unmarshal(text, &bom))
	if !slices.ContainsFunc(*bom.Components, func(c cdx.Component) bool {
		return strings.HasPrefix(c.PackageURL, "pkg:golang/github.com/opencontainers/go-digest@v")
	}) || bom.Metadata.Component.Version != "1.2.0" {
		t.Errorf("the list of the arm64 binary is\n%s", text)
	}

	for _, arch := range []string{"amd64", "arm64"} {
		m := readImage(t, o, "1.2.0", arch)
		if got := m.config.Config; got.Entrypoint[0] != "/hello" || got.StopSignal != "SIGTERM" || got.Labels[ispec.AnnotationVersion] != "1.2.0" ||
			got.Healthcheck == nil || got.Healthcheck.Timeout != 2*time.Second || got.Healthcheck.Retries != 3 || !slices.Equal(got.Healthcheck.Test, []string{"CMD", "/hello", "-healthcheck"}) {
			t.Errorf("%s: the configuration is %+v", arch, got)
		}
		if m.files["var/lib/hello/"] == nil || m.files["var/"] == nil || m.files["hello"].Mode != 0o755 {
			t.Errorf("%s: the files are %v", arch, m.files)
		}
		if arch == runtime.GOARCH { // the very file of the image runs
			file := filepath.Join(t.TempDir(), "hello")
			tooltest.Must(t, os.WriteFile(file, m.texts["hello"], 0o755))
			out, err := exec.CommandContext(t.Context(), file).Output()
			if tooltest.Must(t, err); string(out) != "hello 1.2.0 sha256\n" {
				t.Errorf("it says %s", out)
			}
		}
	}

	again := options(t, hello("Dockerfile.plain"))
	tooltest.Must(t, Make(t.Context(), again))
	second, err := os.ReadFile(filepath.Join(again.Out, "SHA256SUMS"))
	if tooltest.Must(t, err); !bytes.Equal(second, sums) {
		t.Errorf("made again it is\n%swant\n%s", second, sums)
	}
}

// An image with a base has that below it; where the base has not the platform there is a
// binary and no image.
func TestAnImageStandsOnItsBase(t *testing.T) {
	t.Parallel()
	archive := savedImage(t, "amd64", map[string]string{"of": "the base"})
	o := options(t, hello("Dockerfile.based"))
	o.Bases = map[string][]string{"hello": {"archive:" + archive}}
	tooltest.Must(t, Make(t.Context(), o))
	m := readImage(t, o, "1.2.0", "amd64")
	c := m.config.Config
	if len(c.Cmd) != 0 || c.User != "haproxy" || c.WorkingDir != "/w" || c.Env[0] != "A=1" || c.Labels["of"] != "the base" || c.Labels[ispec.AnnotationBaseImageName] != "base.tar" {
		t.Errorf("the configuration is %+v", c)
	}
	if _, ok := c.ExposedPorts["443/tcp"]; !ok || string(m.texts["etc/base"]) != "base" || m.files["var/lib/hello/"].Uid != 99 || m.files["var/lib/hello/"].Gid != 98 || m.files["var/"] != nil {
		t.Errorf("the files are %v, the ports %v", m.files, c.ExposedPorts)
	}
	store, err := oci.NewFromFS(t.Context(), os.DirFS(filepath.Join(o.Out, "oci", "hello")))
	tooltest.Must(t, err)
	if _, err := readBase(t.Context(), store, "1.2.0", Platforms()[1]); !errors.Is(err, errNoPlatform) {
		t.Errorf("the image for arm64: %v", err)
	}
	if _, err := os.Stat(filepath.Join(o.Out, "hello_1.2.0_linux_arm64.tar.gz")); err != nil {
		t.Error(err)
	}

	// Another base brings the other platform.
	both := options(t, hello("Dockerfile.based"))
	both.Bases = map[string][]string{"hello": {"archive:" + archive, "archive:" + savedImage(t, "arm64", nil)}}
	tooltest.Must(t, Make(t.Context(), both))
	if m := readImage(t, both, "1.2.0", "arm64"); string(m.texts["etc/base"]) != "base" || m.config.Architecture != "arm64" {
		t.Errorf("the image for arm64 is for %s, and has %v", m.config.Architecture, m.files)
	}

	// An image of all platforms, such as that one, may be a base itself.
	above := options(t, hello("Dockerfile.based"))
	above.Bases = map[string][]string{"hello": {"oci:" + filepath.Join(o.Out, "oci", "hello")}}
	tooltest.Must(t, Make(t.Context(), above))
	if got := readImage(t, above, "1.2.0", "amd64"); len(got.config.RootFS.DiffIDs) != 3 {
		t.Errorf("there are %d layers", len(got.config.RootFS.DiffIDs))
	}
}

// What stands in for an official image is seen by the tag, and goes nowhere.
func TestAStandInIsNotPushed(t *testing.T) {
	t.Parallel()
	o := options(t, hello("Dockerfile.based"))
	o.Bases = map[string][]string{"hello": {"archive:" + savedImage(t, "amd64", map[string]string{"waggle.recipe": "1"})}}
	tooltest.Must(t, Make(t.Context(), o))
	readImage(t, o, "1.2.0-stand-in", "amd64")
	o.Out, o.Push = t.TempDir(), "127.0.0.1:1/waggle"
	if err := Make(t.Context(), o); err == nil || !strings.Contains(err.Error(), "is for tests alone, so it is not pushed; give a base: -base hello=NAME") {
		t.Errorf("pushing: %v", err)
	}
}

// registry keeps what is pushed to it, as far as a release needs one.
func registry(t *testing.T) string {
	t.Helper()
	var mu sync.Mutex
	blobs := map[string][]byte{}
	kinds := map[string]string{}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		last := r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]
		mu.Lock()
		defer mu.Unlock()
		switch {
		case r.Method == http.MethodPost:
			w.Header().Set("Location", "/upload")
			w.WriteHeader(http.StatusAccepted)
		case r.Method == http.MethodPut:
			d := digest.FromBytes(body).String()
			blobs[d], kinds[d] = body, r.Header.Get("Content-Type")
			if strings.Contains(r.URL.Path, "/manifests/") {
				blobs[last], kinds[last] = body, r.Header.Get("Content-Type")
			}
			w.Header().Set("Docker-Content-Digest", d)
			w.WriteHeader(http.StatusCreated)
		case blobs[last] == nil:
			w.WriteHeader(http.StatusNotFound)
		default:
			w.Header().Set("Content-Type", kinds[last])
			w.Header().Set("Docker-Content-Digest", digest.FromBytes(blobs[last]).String())
			w.Header().Set("Content-Length", fmt.Sprint(len(blobs[last])))
			_, _ = w.Write(blobs[last]) // the client tells
		}
	}))
	t.Cleanup(srv.Close)
	return strings.TrimPrefix(srv.URL, "http://")
}

// What is pushed can be pulled, and be a base; 'make pin' finds its digest.
func TestImagesGoToARegistry(t *testing.T) {
	t.Parallel()
	o := options(t, hello("Dockerfile.plain"))
	o.Push = registry(t) + "/acme"
	tooltest.Must(t, Make(t.Context(), o))
	pushed := o.Push + "/hello:1.2.0"
	for _, p := range Platforms() {
		if b, err := openBase(t.Context(), pushed, p, t.TempDir()); err != nil || b.Config.Architecture != p.Architecture {
			t.Errorf("%s: %v, for %s", name(p), err, b.Config.Architecture)
		}
	}
	images, err := os.ReadFile(filepath.Join(o.Out, "IMAGES"))
	tooltest.Must(t, err)
	line, _, _ := strings.Cut(string(images), "\n")
	digest := strings.Fields(line)[2]

	var told []string
	say := func(format string, args ...any) { told = append(told, fmt.Sprintf(format, args...)) }
	gone := o.Push + "/gone:1"
	had := map[string]string{gone: "sha256:" + strings.Repeat("a", 64)}
	text := Pin(t.Context(), []string{pushed, gone, o.Push + "/never:1"}, had, say)
	got, err := ReadDigests(text)
	tooltest.Must(t, err)
	if len(got) != 2 || got[pushed] != digest || got[gone] != had[gone] || len(told) != 2 {
		t.Errorf("pinned are\n%s\ntold was %q", text, told)
	}
	if _, err := openBase(t.Context(), pinned(pushed, got), Platforms()[0], t.TempDir()); err != nil {
		t.Error(err)
	}
}

func TestWhatCannotBeReleasedIsNamed(t *testing.T) {
	t.Parallel()
	o := options(t, hello("Dockerfile.plain"))
	for _, version := range []string{"", "v1.2.0", "1.2", "dev", "1.2.0+x"} {
		o.Version = version
		if err := Make(t.Context(), o); err == nil || !strings.Contains(err.Error(), "want one such as 1.2.0") {
			t.Errorf("the version %q: %v", version, err)
		}
	}
	for text, want := range map[string]string{
		"RUN make":                             `"RUN make": an instruction that a release does not know`,
		"FROM debian":                          `"FROM debian": want scratch or ${BASE}`,
		"COPY --chown=haproxy a /a":            `want COPY [--chown=NUMBER:NUMBER] FROM TO`,
		"HEALTHCHECK --start-interval=1s NONE": `an option that a release does not know: start-interval`,
	} {
		if _, err := readDockerfile(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
	if _, err := ReadDigests("haproxy:3.4 latest\n"); err == nil {
		t.Error("a digest that is none was taken")
	}
}

// The public workflows do what 'make' does here, and name targets and scripts that are there.
func TestTheWorkflows(t *testing.T) {
	t.Parallel()
	makefile, err := os.ReadFile(filepath.Join(root, "Makefile"))
	tooltest.Must(t, err)
	runs := map[string]string{}
	for _, name := range []string{"ci", "release"} {
		text, err := os.ReadFile(filepath.Join(root, ".github/workflows", name+".yml"))
		tooltest.Must(t, err)
		var w struct {
			Permissions map[string]string
			Jobs        map[string]struct {
				Steps []struct{ Run, Uses string }
			}
		}
		tooltest.Must(t, yaml.Unmarshal(text, &w))
		if w.Permissions["contents"] != "read" {
			t.Errorf("%s may more than read unless a job says so: %v", name, w.Permissions)
		}
		for _, job := range w.Jobs {
			for _, step := range job.Steps {
				runs[name] += step.Run + "\n" + step.Uses + "\n"
			}
		}
	}
	for _, c := range []struct{ workflow, run string }{
		{"ci", ".ci/run"}, {"ci", "govulncheck ./"}, {"release", "make release"}, {"release", "cosign sign "}, {"release", "cosign sign-blob "},
		{"release", "actions/attest-build-provenance@"},
	} {
		if !strings.Contains(runs[c.workflow], c.run) {
			t.Errorf("%s does not run %s", c.workflow, c.run)
		}
	}
	for _, m := range regexp.MustCompile(`make ([a-z-]+)`).FindAllStringSubmatch(runs["ci"]+runs["release"], -1) {
		if !bytes.Contains(makefile, []byte("\n"+m[1]+": ")) {
			t.Errorf("a workflow calls make %s, which is not there", m[1])
		}
	}
	// What is signed has the digests that a release writes.
	if !strings.Contains(runs["release"], "dist/release/IMAGES") {
		t.Error("images are not signed by their digests")
	}
}

// Each program of ours has what a release reads of it.
func TestTheProgramsCanBeReleased(t *testing.T) {
	t.Parallel()
	for _, p := range Programs() {
		text, err := os.ReadFile(filepath.Join(root, p.Dockerfile))
		tooltest.Must(t, err)
		d, err := readDockerfile(string(text))
		tooltest.Must(t, err)
		if len(d.Entrypoint) == 0 || d.Entrypoint[0] != "/"+p.Binary || d.Copies[0].From != p.Binary {
			t.Errorf("%s runs %v and copies %v", p.Name, d.Entrypoint, d.Copies)
		}
		there := []string{p.Binary}
		for _, other := range p.Beside {
			there = append(there, other.Binary)
		}
		for _, c := range d.Copies {
			if !strings.HasSuffix(c.From, "/") && !slices.Contains(there, c.From) {
				t.Errorf("%s copies %s, which a release does not build for it", p.Name, c.From)
			}
		}
		main, err := os.ReadFile(filepath.Join(root, p.Module, p.Command, "main.go"))
		if tooltest.Must(t, err); !bytes.Contains(main, []byte("\nvar version = ")) {
			t.Errorf("%s has no version that is set when it is built", p.Name)
		}
	}
	text, err := os.ReadFile(filepath.Join(root, "compose/images/digests.txt"))
	tooltest.Must(t, err)
	_, err = ReadDigests(string(text))
	tooltest.Must(t, err)
}
