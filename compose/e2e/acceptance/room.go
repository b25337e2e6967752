package acceptance

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Hall is where the root of a case is built: a folder that every Linux has and
// whose content no case needs. In the case it is its own, and empty.
const Hall = "/run"

// isolation gives the process of a case its own network, mounts, process numbers,
// host name and message queues. When it ends the kernel ends whatever it started.
func isolation() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC,
		Pdeathsig:  syscall.SIGKILL,
	}
}

// enter makes the machine look like the proxy's container: the case's own /run and
// /certs, its own DNS, and a loopback with all addresses of 127.0.0.0/8. Nothing of
// it is seen outside.
func enter() error {
	if err := loopbackUp(); err != nil {
		return fmt.Errorf("loopback: %w", err)
	}
	if err := syscall.Sethostname([]byte("proxy")); err != nil {
		return fmt.Errorf("host name: %w", err)
	}
	// Where a link leads must be known before /run is covered.
	own := map[string]string{"/etc/resolv.conf": "nameserver 127.0.0.11\noptions ndots:0\n", "/etc/hosts": "127.0.0.1 localhost\n"}
	targets := map[string]string{}
	for path := range own {
		target, err := filepath.EvalSymlinks(path)
		if err != nil {
			return err
		}
		targets[path] = target
	}
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("private mounts: %w", err)
	}
	if err := syscall.Mount("acceptance", Hall, "tmpfs", 0, "mode=755"); err != nil {
		return fmt.Errorf("%s: %w", Hall, err)
	}
	if err := bindAll(); err != nil {
		return err
	}
	for _, folder := range []string{Hall, "/certs", "/proc"} {
		if err := os.MkdirAll(Hall+folder, 0o755); err != nil {
			return err
		}
	}
	if err := syscall.Mount("proc", Hall+"/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("/proc: %w", err)
	}
	for path, text := range own {
		if err := cover(targets[path], text); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	if err := syscall.Chroot(Hall); err != nil {
		return fmt.Errorf("new root: %w", err)
	}
	return os.Chdir("/")
}

// loopbackUp gives the network its 127.0.0.0/8.
func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd) //nolint:errcheck // nothing was written
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	lo.SetUint16(unix.IFF_UP)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo)
}

// bindAll brings the machine's top folders into the new root, except those that a
// case has of its own.
func bindAll() error {
	entries, err := os.ReadDir("/")
	if err != nil {
		return err
	}
	for _, e := range entries {
		path := "/" + e.Name()
		switch {
		case path == Hall || path == "/certs" || path == "/proc" || path == "/lost+found":
		case e.Type()&os.ModeSymlink != 0:
			target, err := os.Readlink(path)
			if err == nil {
				err = os.Symlink(target, Hall+path)
			}
			if err != nil {
				return err
			}
		case e.IsDir():
			if err := os.Mkdir(Hall+path, 0o755); err != nil {
				return err
			}
			if err := syscall.Mount(path, Hall+path, "", syscall.MS_BIND|syscall.MS_REC, ""); err != nil {
				return fmt.Errorf("bind %s: %w", path, err)
			}
		}
	}
	return nil
}

// cover puts a file of the case's own over one of the machine's.
func cover(path, text string) error {
	if strings.HasPrefix(path, Hall+"/") {
		// What lies there is the case's own already.
		if err := os.MkdirAll(filepath.Dir(Hall+path), 0o755); err != nil {
			return err
		}
		return os.WriteFile(Hall+path, []byte(text), 0o644)
	}
	file := Hall + Hall + "/" + filepath.Base(path)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		return err
	}
	return syscall.Mount(file, Hall+path, "", syscall.MS_BIND, "")
}
