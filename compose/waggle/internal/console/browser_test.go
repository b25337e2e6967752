package console_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/wagglehq/waggle/pkg/tooltest"
)

// update writes the pictures of the pages anew.
var update = flag.Bool("update", false, "write the pictures of the pages in docs/console")

// browser is a page in a real Chromium.
type browser struct {
	t   testing.TB
	ctx context.Context

	mu     sync.Mutex // Chromium tells at any time
	errors []string
}

// open starts Chromium.
func newBrowser(t testing.TB) *browser {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatal("there is no chromium; run 'make setup' first")
	}
	allocator, stop := chromedp.NewExecAllocator(t.Context(), slices.Concat(chromedp.DefaultExecAllocatorOptions[:], []chromedp.ExecAllocatorOption{
		chromedp.ExecPath(path), chromedp.UserDataDir(t.TempDir()), chromedp.WSURLReadTimeout(time.Minute), chromedp.Flag("no-sandbox", true), chromedp.Flag("font-render-hinting", "none"),
	})...)
	t.Cleanup(stop)
	b := &browser{t: t}
	ctx, closeTab := chromedp.NewContext(allocator, chromedp.WithListener(func(event any) {
		if e, ok := event.(*runtime.EventExceptionThrown); ok {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.errors = append(b.errors, fmt.Sprintf("%+v", e.ExceptionDetails))
		}
	}))
	b.ctx = ctx
	t.Cleanup(closeTab)
	b.do(chromedp.Navigate("about:blank"))
	return b
}

// complaints are what pages have complained of.
func (b *browser) complaints() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.errors
}

// do does these things.
func (b *browser) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, steps...); err != nil {
		b.t.Fatal(err)
	}
}

// got is the answer of an action.
func got[T any](b *browser, a chromedp.Action[T]) T {
	b.t.Helper()
	v, err := chromedp.Run(b.ctx, a)
	if err != nil {
		b.t.Fatal(err)
	}
	return v
}

// visit opens a page and waits until it is live.
func (b *browser) visit(url string) {
	b.t.Helper()
	b.do(chromedp.Navigate(url))
	b.sees("the page is live", `document.getElementById("live").textContent === "live"`)
}

// eval asks the page.
func eval[T any](b *browser, script string) T {
	b.t.Helper()
	return got(b, chromedp.Evaluate[T](script))
}

// sees waits until a condition holds on the page, and returns how long that took.
func (b *browser) sees(what, script string) time.Duration {
	b.t.Helper()
	return tooltest.Within(b.t, 5*time.Second+tooltest.Patience, what, func() error {
		ok, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool]("Boolean("+script+")"))
		if err == nil && !ok {
			var text string
			text, err = chromedp.Run(b.ctx, chromedp.Evaluate[string](`document.getElementById("main").innerText.slice(0, 1500)`))
			err = errors.Join(fmt.Errorf("it does not hold: %s, on\n%s", script, text), err)
		}
		return err
	})
}

// looks sets the size of the window and which colours are preferred.
func (b *browser) looks(width, height int64, scheme string) {
	b.t.Helper()
	b.do(chromedp.EmulateViewport(width, height), chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"}},
		})
		return err
	}))
}

// keep writes a picture of the page, if that is asked for.
func (b *browser) keep(name string) {
	b.t.Helper()
	shot := got(b, chromedp.CaptureScreenshot())
	if !*update {
		return
	}
	small, err := reduced(shot)
	if err == nil {
		err = os.WriteFile(filepath.Join(pictures, name+".png"), small, 0o644)
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

// pictures is where the pictures of the pages are.
const pictures = "../../../../docs/console"

// reduced is a picture with 256 colours, which pages hardly exceed, and a third of the size.
func reduced(shot []byte) ([]byte, error) {
	full, err := png.Decode(bytes.NewReader(shot))
	if err != nil {
		return nil, err
	}
	size := full.Bounds()
	count := map[color.RGBA]int{}
	at := func(x, y int) color.RGBA { return color.RGBAModel.Convert(full.At(x, y)).(color.RGBA) }
	for y := size.Min.Y; y < size.Max.Y; y++ {
		for x := size.Min.X; x < size.Max.X; x++ {
			count[at(x, y)]++
		}
	}
	var all []color.RGBA
	for c := range count {
		all = append(all, c)
	}
	slices.SortFunc(all, func(a, b color.RGBA) int {
		if n := count[b] - count[a]; n != 0 {
			return n
		}
		return strings.Compare(fmt.Sprint(a), fmt.Sprint(b))
	})
	var palette color.Palette
	for _, c := range all[:min(256, len(all))] {
		palette = append(palette, c)
	}
	nearest := map[color.RGBA]uint8{}
	for c := range count {
		nearest[c] = uint8(palette.Index(c))
	}
	out := image.NewPaletted(size, palette)
	for y := size.Min.Y; y < size.Max.Y; y++ {
		for x := size.Min.X; x < size.Max.X; x++ {
			out.SetColorIndex(x, y, nearest[at(x, y)])
		}
	}
	var buf bytes.Buffer
	err = (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&buf, out)
	return buf.Bytes(), err
}
