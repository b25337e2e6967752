package settings

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	yaml "go.yaml.in/yaml/v3"
)

// ReadBase reads a configuration of the operator's own. Paths in it are relative to its folder.
func ReadBase(path string) (Tree, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("base-file: %w", err)
	}
	var out Tree
	if err := yaml.Unmarshal(content, &out); err != nil {
		return nil, fmt.Errorf("base-file %s: %w", path, err)
	}
	folder, err := filepath.Abs(filepath.Dir(path))
	if err != nil {
		return nil, fmt.Errorf("base-file %s: %w", path, err)
	}
	anchored, _ := anchor(out, "", folder).(Tree)
	return anchored, nil
}

// JobFile is a file with scrape jobs, or why it cannot be read.
type JobFile struct {
	Name string
	Jobs Tree
	Err  error
}

// jobFilePrefix is how their names begin.
const jobFilePrefix = "scrape_"

// ReadJobs reads the files with scrape jobs in a folder, which need not be there.
func ReadJobs(folder string) []JobFile {
	var out []JobFile
	for _, path := range beginning(folder, jobFilePrefix) {
		one := JobFile{Name: filepath.Base(path)}
		var jobs []Tree
		content, err := os.ReadFile(path)
		if err == nil {
			err = yaml.Unmarshal(content, &jobs)
		}
		if err == nil && len(jobs) == 0 {
			err = fmt.Errorf("it has no jobs")
		}
		if one.Err = err; err == nil {
			absolute, errAbs := filepath.Abs(folder)
			one.Err = errAbs
			var all []any
			for _, job := range jobs {
				all = append(all, job)
			}
			one.Jobs, _ = anchor(Tree{"scrape_configs": all}, "", absolute).(Tree)
		}
		out = append(out, one)
	}
	return out
}

// File is a file with its content.
type File struct {
	Name    string
	Content []byte
}

// ReadShortcuts reads the file of shortcuts, which must be there if it was asked for, and
// those among the secrets, whose names begin with alertif. The later of two entries counts.
func ReadShortcuts(file string, asked bool, secrets string) ([]File, error) {
	var out []File
	content, err := os.ReadFile(file)
	switch {
	case err == nil:
		out = append(out, File{file, content})
	case asked || !errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("shortcuts-file: %w", err)
	}
	for _, path := range beginning(secrets, "alertif-", "alertif_") {
		content, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("shortcuts: %w", err)
		}
		out = append(out, File{filepath.Base(path), content})
	}
	return out, nil
}

// beginning are the files of a folder whose names begin so, whatever the case of letters.
func beginning(folder string, prefixes ...string) []string {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil // there is no such folder
	}
	var out []string
	for _, e := range entries {
		name := strings.ToLower(e.Name())
		if !e.IsDir() && slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(name, p) }) {
			out = append(out, filepath.Join(folder, e.Name()))
		}
	}
	return out
}

// anchor makes the paths in a piece of configuration absolute.
func anchor(v any, key, folder string) any {
	switch v := v.(type) {
	case Tree:
		out := make(Tree, len(v))
		for name, value := range v {
			out[name] = anchor(value, name, folder)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, value := range v {
			out[i] = anchor(value, key, folder)
		}
		return out
	case string:
		if v != "" && !filepath.IsAbs(v) && isPath(key) {
			return filepath.Join(folder, v)
		}
	}
	return v
}

// isPath reports whether Prometheus takes the text of a key for a path.
func isPath(key string) bool {
	return strings.HasSuffix(key, "_file") || slices.Contains([]string{"rule_files", "scrape_config_files", "files"}, key)
}
