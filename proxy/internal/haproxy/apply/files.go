package apply

import (
	"errors"
	"io/fs"
	"maps"
	"os"

	"github.com/wagglehq/waggle/pkg/atomicfile"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/file"
)

// contents are the files of a configuration by name.
func contents(f file.File) map[string][]byte {
	out := map[string][]byte{ConfigName: []byte(f.Text())}
	for name, entries := range f.Maps {
		out[name] = []byte(file.MapText(entries))
	}
	maps.Copy(out, companions(f))
	return out
}

// read returns the present contents of files, of those that there are.
func (h *HAProxy) read(names map[string][]byte) (map[string][]byte, error) {
	out := map[string][]byte{}
	for name := range names {
		content, err := os.ReadFile(h.path(name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		out[name] = content
	}
	return out, nil
}

func (h *HAProxy) write(files map[string][]byte) error {
	var errs []error
	for name, content := range files {
		_, err := atomicfile.Write(h.path(name), content, 0o640)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
