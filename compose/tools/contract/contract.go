// Package contract checks values on the bus against the schemas of docs/schema.
package contract

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/wagglehq/waggle/pkg/bus"
	"github.com/wagglehq/waggle/pkg/catalog"
)

// Schemas are those of all values, by name ("service").
type Schemas map[string]*jsonschema.Schema

const suffix = ".schema.json"

// Read reads the schemas of a folder. Read so, they admit no field that they do not
// name, although a consumer must.
func Read(folder string) (Schemas, error) {
	files, err := filepath.Glob(filepath.Join(folder, "*"+suffix))
	if err != nil {
		return nil, err
	}
	out := Schemas{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		c := jsonschema.NewCompiler()
		c.AssertFormat()
		if err := c.AddResource(file, strict(doc)); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		if out[strings.TrimSuffix(filepath.Base(file), suffix)], err = c.Compile(file); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
	}
	return out, nil
}

// strict forbids what is not named, in all objects that name anything.
func strict(doc any) any {
	switch d := doc.(type) {
	case map[string]any:
		for name, part := range d {
			d[name] = strict(part)
		}
		if _, ok := d["properties"].(map[string]any); ok && d["type"] == "object" {
			d["additionalProperties"] = false
		}
	case []any:
		for i, part := range d {
			d[i] = strict(part)
		}
	}
	return doc
}

// Check returns what is wrong with a value of that name.
func (s Schemas) Check(name string, value []byte) error {
	schema, ok := s[name]
	if !ok {
		return fmt.Errorf("there is no schema of %q", name)
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(value))
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if err := schema.Validate(v); err != nil {
		return fmt.Errorf("%s: %w\n%s", name, err, value)
	}
	return nil
}

// Name returns the name of the value under a key of a bucket, "" if the contract does not
// tell of it.
func Name(bucket, key string) string {
	kind, _, _ := strings.Cut(key, ".")
	switch {
	case bucket == bus.StatusBucket && kind == "instance":
		return "instance"
	case bucket == bus.StatusBucket:
		return "status"
	case bucket == bus.CatalogBucket && key == catalog.ListKey:
		return "list"
	case bucket == bus.CatalogBucket && (kind == "service" || kind == "node" || kind == "tasks"):
		return kind
	}
	return ""
}
