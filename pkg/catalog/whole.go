package catalog

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// OversizeError says that the labels of a service are more than it may bring.
type OversizeError struct {
	// Bytes is how many they take.
	Bytes int
}

// Error tells what they take and what is allowed. It stands behind the service's name.
func (e *OversizeError) Error() string {
	if e.Bytes <= MaxValue {
		return fmt.Sprintf("its labels take %s bytes, and those of all services together are more than the catalog holds", grouped(e.Bytes))
	}
	return fmt.Sprintf("its labels take %s bytes, at most %s are allowed", grouped(e.Bytes), grouped(MaxValue))
}

// Hint says what to do.
func (e *OversizeError) Hint() string {
	return "certificates and long lists belong into secrets or files"
}

// WithheldError says that texts of labels have not arrived that only some may read.
type WithheldError struct {
	// Labels are their full names, sorted.
	Labels []string
}

// Error names the labels. It stands behind the service's name.
func (e *WithheldError) Error() string {
	if len(e.Labels) == 1 {
		return "the text of " + e.Labels[0] + " has not arrived"
	}
	return "the texts of " + strings.Join(e.Labels, ", ") + " have not arrived"
}

// Hint says what to do.
func (e *WithheldError) Hint() string {
	return "it comes by itself; if it does not within seconds, the log of the listener says why"
}

// Fits returns nil, or an *OversizeError if the labels of the service were left out.
func (s Service) Fits() error {
	if s.Oversize > 0 {
		return &OversizeError{s.Oversize}
	}
	return nil
}

// Whole returns nil if all labels of the service are there with their texts, and
// otherwise an *OversizeError or a *WithheldError.
func (s Service) Whole() error {
	if err := s.Fits(); err != nil {
		return err
	}
	if len(s.Withheld) > 0 {
		return &WithheldError{slices.Sorted(maps.Keys(s.Withheld))}
	}
	return nil
}

// grouped writes a number with a comma before every three digits.
func grouped(n int) string {
	text := strconv.Itoa(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}
