package apply

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/wagglehq/waggle/pkg/atomicfile"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/file"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/plan"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/runtime"
)

// prepare puts the files where a check can find them that a configuration names and
// that are not there yet, or that a disk has spoilt: lists of addresses, and scripts. One of
// those would have each check fail for ever, of whatever service.
func (h *HAProxy) prepare(f file.File) error {
	for name, content := range companions(f) {
		if _, script := f.Scripts[name]; !script && h.legible(name) {
			continue // it is that in force, in which other addresses may stand
		}
		if _, err := atomicfile.Write(h.path(name), content, 0o640); err != nil {
			return err
		}
	}
	return nil
}

// legible reports whether a file is a list of addresses. A script needs no such look: its
// name is one of its content.
func (h *HAProxy) legible(name string) bool {
	content, err := os.ReadFile(h.path(name))
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(content)) {
		line = strings.TrimSuffix(line, "\n")
		_, errAddr := netip.ParseAddr(line)
		if _, err := netip.ParsePrefix(line); err != nil && errAddr != nil {
			return false
		}
	}
	return true
}

// companions are the files beside tables and configuration, by name.
func companions(f file.File) map[string][]byte {
	out := map[string][]byte{}
	for name, entries := range f.Lists {
		out[name] = []byte(file.ListText(entries))
	}
	for name, content := range f.Scripts {
		out[name] = []byte(content)
	}
	return out
}

// readLists replaces the entries of a file's lists by those that run.
func (h *HAProxy) readLists(ctx context.Context, f *file.File) error {
	for _, name := range f.ListNames() {
		entries, err := h.o.Worker.ShowACL(ctx, h.path(name))
		if err != nil {
			return err
		}
		slices.Sort(entries)
		f.Lists[name] = entries
	}
	return nil
}

// listEntries are the commands for the entries that come and for those that go.
func (h *HAProxy) listEntries(p plan.Plan) (first, last []runtime.Command) {
	for _, e := range p.AddEntries {
		first = append(first, runtime.AddACL(h.path(e.List), e.Entry))
	}
	for _, e := range p.DropEntries {
		last = append(last, runtime.DelACL(h.path(e.List), e.Entry))
	}
	return first, last
}

// sweep removes lists and scripts that the configuration does not name any more,
// neither what runs nor what is written. That some remain does no harm.
func (h *HAProxy) sweep() error {
	files, err := os.ReadDir(h.o.Dir)
	if err != nil {
		return err
	}
	var errs []error
	for _, entry := range files {
		name := entry.Name()
		_, list := h.applied.Lists[name]
		_, script := h.applied.Scripts[name]
		if strings.HasSuffix(name, file.ListEnd) && !list || strings.HasSuffix(name, file.ScriptEnd) && !script {
			errs = append(errs, os.Remove(h.path(name)))
		}
	}
	return errors.Join(errs...)
}
