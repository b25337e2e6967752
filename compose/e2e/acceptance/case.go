package acceptance

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// Case is one case of a file.
type Case struct {
	ID, Title string
	// raw is the case as it stands in the file, from which its own process reads it.
	raw  json.RawMessage
	form Form
	// fault is what is wrong with the case itself; such a case fails.
	fault error
}

// ReadFile reads a file of cases of one of the forms, which it recognises by their steps.
// A case that is not of the form is still returned: it fails when it is run. An error says
// that the file as a whole is of no use.
func ReadFile(path string, forms ...Form) ([]Case, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var file struct {
		About string            `json:"about"`
		Cases []json.RawMessage `json:"cases"`
	}
	if err := Strict(content, &file); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(file.Cases) == 0 {
		return nil, fmt.Errorf("%s: it has no cases", path)
	}
	form, ok := recognise(forms, file.Cases)
	cases := make([]Case, len(file.Cases))
	for i, raw := range file.Cases {
		var name struct{ ID, Title string }
		errName := json.Unmarshal(raw, &name)
		_, err := form.parse(raw)
		if err == nil && !ok {
			err = errors.New("unknown steps")
		}
		if err != nil && !ok {
			err = fmt.Errorf("%w; %s", err, known(forms))
		}
		if name.ID == "" {
			name.ID = fmt.Sprintf("#%d", i+1)
		}
		cases[i] = Case{ID: name.ID, Title: name.Title, raw: raw, form: form, fault: errors.Join(errName, err)}
	}
	return cases, nil
}

// Fill decodes one value for each target.
func Fill(values []json.RawMessage, targets ...any) error {
	if len(values) != len(targets) {
		return fmt.Errorf("it has %d values, want %d", len(values), len(targets))
	}
	for i, target := range targets {
		if err := Strict(values[i], target); err != nil {
			return fmt.Errorf("value %d: %w", i+1, err)
		}
	}
	return nil
}

// Strict decodes one JSON value and refuses fields that it does not know.
func Strict(text []byte, target any) error {
	if strings.TrimSpace(string(text)) == "null" {
		return errors.New("want a value, not null")
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(target); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("there is more behind the value")
	}
	return nil
}

// Count is how many steps of a kind a case has.
func (c Case) Count(kind string) int {
	var h head
	if json.Unmarshal(c.raw, &h) != nil {
		return 0
	}
	n := 0
	for _, values := range h.Steps {
		if have, err := kindOf(values); err == nil && have == kind {
			n++
		}
	}
	return n
}
