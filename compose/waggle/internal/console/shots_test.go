package console_test

import (
	"bytes"
	"flag"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/wagglehq/waggle/compose/tools/browsertest"
)

// update writes the pictures of the pages anew.
var update = flag.Bool("update", false, "write the pictures of the pages in docs/console")

// browser looks at pages of the console.
type browser struct{ *browsertest.Browser }

func newBrowser(t testing.TB) browser { return browser{browsertest.New(t)} }

// visit opens a page and waits until it is live.
func (b browser) visit(url string) {
	b.Visit(url)
	b.Sees("the page is live", `document.getElementById("live")?.textContent === "live"`)
}

// eval asks the page.
func eval[T any](b browser, script string) T { return browsertest.Eval[T](b.Browser, script) }

// keep writes a picture of the page, if that is asked for.
func (b browser) keep(t *testing.T, name string) {
	t.Helper()
	shot := browsertest.Got(b.Browser, chromedp.CaptureScreenshot())
	if !*update {
		return
	}
	small, err := reduced(shot)
	if err == nil {
		err = os.WriteFile(filepath.Join(pictures, name+".png"), small, 0o644)
	}
	if err != nil {
		t.Fatal(err)
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
