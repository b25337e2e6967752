// Package browsertest lets tests look at a page as people do: with Chromium, as 'make setup'
// installs it.
package browsertest

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/wagglehq/waggle/pkg/tooltest"
)

// Browser is a page in a real Chromium.
type Browser struct {
	t   testing.TB
	ctx context.Context

	mu     sync.Mutex // Chromium tells at any time
	errors []string
}

// New starts Chromium.
func New(t testing.TB) *Browser {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatal("there is no chromium; run 'make setup' first")
	}
	allocator, stop := chromedp.NewExecAllocator(t.Context(), slices.Concat(chromedp.DefaultExecAllocatorOptions[:], []chromedp.ExecAllocatorOption{
		chromedp.ExecPath(path), chromedp.UserDataDir(t.TempDir()), chromedp.WSURLReadTimeout(time.Minute), chromedp.Flag("no-sandbox", true), chromedp.Flag("font-render-hinting", "none"),
	})...)
	t.Cleanup(stop)
	b := &Browser{t: t}
	ctx, closeTab := chromedp.NewContext(allocator, chromedp.WithListener(func(event any) {
		if e, ok := event.(*runtime.EventExceptionThrown); ok {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.errors = append(b.errors, fmt.Sprintf("%+v", e.ExceptionDetails))
		}
	}))
	b.ctx = ctx
	t.Cleanup(closeTab)
	b.Do(chromedp.Navigate("about:blank"))
	return b
}

// Complaints are what pages have complained of.
func (b *Browser) Complaints() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.errors
}

// Do does these things.
func (b *Browser) Do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, steps...); err != nil {
		b.t.Fatal(err)
	}
}

// Got is the answer of an action.
func Got[T any](b *Browser, a chromedp.Action[T]) T {
	b.t.Helper()
	v, err := chromedp.Run(b.ctx, a)
	if err != nil {
		b.t.Fatal(err)
	}
	return v
}

// Visit opens a page and waits until it is there.
func (b *Browser) Visit(url string) {
	b.t.Helper()
	b.Do(chromedp.Navigate(url))
}

// Eval asks the page.
func Eval[T any](b *Browser, script string) T {
	b.t.Helper()
	return Got(b, chromedp.Evaluate[T](script))
}

// Sees waits until a condition holds on the page, and returns how long that took.
func (b *Browser) Sees(what, script string) time.Duration {
	b.t.Helper()
	return tooltest.Within(b.t, tooltest.Patience, what, func() error {
		ok, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool]("Boolean("+script+")"))
		if err == nil && !ok {
			var text string
			text, err = chromedp.Run(b.ctx, chromedp.Evaluate[string](`document.body.innerText.slice(0, 1500)`))
			err = errors.Join(fmt.Errorf("it does not hold: %s, on\n%s", script, text), err)
		}
		return err
	})
}

// Looks sets the size of the window and which colours are preferred.
func (b *Browser) Looks(width, height int64, scheme string) {
	b.t.Helper()
	b.Do(chromedp.EmulateViewport(width, height), chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"}},
		})
		return err
	}))
}
