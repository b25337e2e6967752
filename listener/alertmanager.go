package listener

import (
	"fmt"
	"io"
	"strings"

	"golang.org/x/crypto/bcrypt"

	"github.com/wagglehq/waggle/pkg/app"
)

// printAlertmanagerWeb reads a password and prints the file by which Alertmanager asks for it
// (https://prometheus.io/docs/alerting/latest/https/). The stack's scripts have no other
// program that computes such a hash on every manager.
func printAlertmanagerWeb(from io.Reader, to io.Writer) error {
	text, err := io.ReadAll(io.LimitReader(from, app.MaxBody))
	if err != nil {
		return fmt.Errorf("password: %w", err)
	}
	password := strings.TrimRight(string(text), " \t\r\n")
	if len(password) < app.MinToken {
		return fmt.Errorf("password: want at least %d bytes, and this has %d", app.MinToken, len(password))
	}
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.DefaultCost)
	if err != nil {
		return fmt.Errorf("password: %w", err)
	}
	_, err = fmt.Fprintf(to, "basic_auth_users:\n  %s: %s\n", app.AlertmanagerUser, hash)
	return err
}
