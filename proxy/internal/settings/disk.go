package settings

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/wagglehq/waggle/pkg/app"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/render"
	"github.com/wagglehq/waggle/proxy/internal/settings/edge"
)

// readable returns why the file that a setting names cannot be read, nil if it names none.
func readable(name, file string) error {
	if file == "" {
		return nil
	}
	_, err := os.ReadFile(file)
	return named(name, err)
}

// InstanceName names this replica; by default it is the container's host name.
func (c *Config) InstanceName() string {
	if c.Instance != "" {
		return c.Instance
	}
	name, err := os.Hostname()
	if err != nil {
		return "unknown"
	}
	return name
}

// variable returns the text of a variable, or of the secret of its name.
func (e *Edge) variable(name string, environ []string) (string, error) {
	text, ok, err := app.ReadSecret(e.SecretsDir, "dfp_"+strings.ToLower(filepath.Base(name)))
	if err != nil || ok {
		return text, err
	}
	for _, entry := range environ {
		if text, ok := strings.CutPrefix(entry, name+"="); ok {
			return text, nil
		}
	}
	return "", fmt.Errorf("there is neither a variable %s nor a secret dfp_%s", name, strings.ToLower(name))
}

// maxErrorFile is well below the buffer in which HAProxy keeps an answer, in bytes.
const maxErrorFile = 14 << 10

// errorFiles are the answers in a folder. One that HAProxy would refuse is an error at
// the start, because afterwards it would hold up every change.
func errorFiles(dir string) ([]render.ErrorFile, error) {
	var out []render.ErrorFile
	for _, status := range edge.ErrorStatuses() {
		path := filepath.Join(dir, strconv.Itoa(status)+".http")
		content, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		answer, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(content)), nil)
		if err == nil {
			_, err = io.Copy(io.Discard, answer.Body)
			_ = answer.Body.Close()
		}
		if err == nil && len(content) > maxErrorFile {
			err = fmt.Errorf("it has %d bytes, and %d are the most", len(content), maxErrorFile)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: want an answer of HTTP, status line and headers first: %w", path, err)
		}
		out = append(out, render.ErrorFile{Status: status, Path: path})
	}
	return out, nil
}

// usersSecrets begins the names of secrets with users.
const usersSecrets = "dfp_users_"

// SecretUsers reads the secret that a label com.df.usersSecret names.
func (e *Edge) SecretUsers(name string) (content string, ok bool, err error) {
	return app.ReadSecret(e.SecretsDir, usersSecrets+name)
}

// UsersSecrets are the names of the secrets with users that are there; nil if that cannot be
// known.
func (e *Edge) UsersSecrets() []string {
	entries, err := os.ReadDir(e.SecretsDir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	out := []string{}
	for _, one := range entries {
		if strings.HasPrefix(one.Name(), usersSecrets) {
			out = append(out, one.Name())
		}
	}
	return out
}

// OpenFiles is the limit of open files of this container, which HAProxy has too.
func OpenFiles() (uint64, error) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0, fmt.Errorf("the limit of open files: %w", err)
	}
	return limit.Max, nil
}
