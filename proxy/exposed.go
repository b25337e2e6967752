package proxy

import (
	"bytes"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/wagglehq/waggle/pkg/app"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/supervisor"
)

// warnOfExposed tells which secrets HAProxy can read without having a use for them. Docker lets
// everybody in a container read a secret for which the stack file says nothing else.
func warnOfExposed(dir string, user *supervisor.User, sh app.Shell) {
	names, err := exposed(dir, user)
	if err != nil {
		sh.Log.Warn("who can read the secrets is not known", "folder", dir, "error", err)
	}
	if len(names) > 0 {
		sh.Log.Warn("HAProxy can read secrets that it has no use for", "names", names, "want", `uid: "99", gid: "0", mode: 0440 for each in the stack file`)
	}
}

// exposed are the secrets in a folder that a user can read, but for certificates without a key:
// HAProxy reads authorities itself, and they are no secret.
func exposed(dir string, user *supervisor.User) ([]string, error) {
	if user == nil {
		return nil, nil // one user is all there is
	}
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var out []string
	for _, entry := range entries {
		path := filepath.Join(dir, entry.Name())
		info, errStat := os.Stat(path)
		if errStat != nil || !info.Mode().IsRegular() || !reads(user, info) {
			continue
		}
		if content, err := os.ReadFile(path); err == nil && !certificatesAlone(content) {
			out = append(out, entry.Name())
		}
	}
	return out, err
}

// reads reports whether a file's mode lets a user read it.
func reads(user *supervisor.User, info fs.FileInfo) bool {
	of, ok := info.Sys().(*syscall.Stat_t)
	mode := info.Mode().Perm()
	return mode&0o004 != 0 || ok && (of.Uid == user.UID && mode&0o400 != 0 || of.Gid == user.GID && mode&0o040 != 0)
}

// certificatesAlone reports whether a text is certificates and nothing else.
func certificatesAlone(text []byte) bool {
	found := false
	for {
		block, rest := pem.Decode(text)
		if block == nil {
			return found && len(bytes.TrimSpace(rest)) == 0
		}
		if block.Type != "CERTIFICATE" {
			return false
		}
		found, text = true, rest
	}
}
