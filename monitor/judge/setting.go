package judge

import "fmt"

// SettingError is a setting that cannot be meant, by the name of its flag, with which its text begins.
type SettingError struct {
	Setting string
	Err     error
}

// Error is the text of what is wrong.
func (e *SettingError) Error() string { return e.Err.Error() }

// Unwrap returns what is wrong.
func (e *SettingError) Unwrap() error { return e.Err }

// Wrong says what a setting should be; why goes on behind its name.
func Wrong(setting, why string, args ...any) error {
	return &SettingError{setting, fmt.Errorf(setting+why, args...)}
}
