package supervisor

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
)

// User is whom a process runs as, by the numbers of user and group.
type User struct{ UID, GID uint32 }

// ParseUser reads a User of the form "98:99"; an empty text is nil, which stands for whoever
// this process is.
func ParseUser(text string) (*User, error) {
	if text == "" {
		return nil, nil
	}
	user, group, _ := strings.Cut(text, ":")
	uid, errUser := strconv.ParseUint(user, 10, 31)
	gid, errGroup := strconv.ParseUint(group, 10, 31)
	if errUser != nil || errGroup != nil || uid == 0 || gid == 0 {
		return nil, fmt.Errorf("%q: want the numbers of a user and a group other than root's, such as 98:99", text)
	}
	return &User{UID: uint32(uid), GID: uint32(gid)}, nil
}

// credential is how a child becomes the user, nil if it stays who we are. Further groups are
// given up.
func (u *User) credential() *syscall.Credential {
	if u == nil {
		return nil
	}
	return &syscall.Credential{Uid: u.UID, Gid: u.GID}
}

// Do calls do with the user's rights to files, and with ours for all else: what it makes is the
// user's, and no privilege beyond SETUID and SETGID is needed for it. What do needs of files it
// must do in the goroutine that called it.
func (u *User) Do(do func() error) error {
	if u == nil {
		return do()
	}
	// These rights belong to a thread. Whether they were given is seen by what can be done.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer func() { _, _ = syscall.Setfsuid(os.Geteuid()), syscall.Setfsgid(os.Getegid()) }()
	_, _ = syscall.Setfsgid(int(u.GID)), syscall.Setfsuid(int(u.UID))
	return do()
}
