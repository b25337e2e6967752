package controller

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/wagglehq/waggle/pkg/atomicfile"
	"github.com/wagglehq/waggle/pkg/catalog"
)

// memory is the file of the services last in force.
type memory struct {
	file   string
	stored map[string]catalog.Service
}

// state is the form of the file.
type state struct {
	Services []catalog.Service `json:"services"`
}

func (m *memory) load() ([]catalog.Service, error) {
	content, err := os.ReadFile(m.file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var s state
	if err := json.Unmarshal(content, &s); err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Base(m.file), err)
	}
	return s.Services, nil
}

// store writes the file if these are others than before.
func (m *memory) store(services map[string]catalog.Service) error {
	if maps.EqualFunc(services, m.stored, catalog.Service.Equal) {
		return nil
	}
	content, err := catalog.Encode(state{slices.SortedFunc(maps.Values(services), catalog.Older)})
	if err != nil {
		return err
	}
	// Labels may hold keys and passwords.
	if _, err := atomicfile.Write(m.file, content, 0o600); err != nil {
		return err
	}
	m.stored = services
	return nil
}
