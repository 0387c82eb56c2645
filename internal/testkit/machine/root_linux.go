package machine

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

func setUp(s spec) error {
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := syscall.Sethostname([]byte(s.Name)); err != nil {
		return fmt.Errorf("host name: %w", err)
	}
	if !s.HostNetwork {
		if err := loopbackUp(); err != nil {
			return fmt.Errorf("loopback up: %w", err)
		}
	}
	// One tmpfs holds all that the machine writes; it goes with the mount namespace.
	if err := syscall.Mount("tmpfs", s.Dir, "tmpfs", 0, "mode=755"); err != nil {
		return fmt.Errorf("mount tmpfs: %w", err)
	}
	root := filepath.Join(s.Dir, "root")
	if err := os.Mkdir(root, 0o755); err != nil {
		return err
	}
	fill := fillBusybox
	if s.Root == Host {
		fill = fillHost
	}
	if err := fill(s.Dir, root); err != nil {
		return fmt.Errorf("root file system: %w", err)
	}
	if s.ReadOnly {
		if err := syscall.Mount(root, root, "", syscall.MS_BIND|syscall.MS_REC, ""); err != nil {
			return fmt.Errorf("bind the root: %w", err)
		}
	}
	if err := mountAll(s, root); err != nil {
		return err
	}
	if s.ReadOnly {
		if err := syscall.Mount("", root, "", syscall.MS_BIND|syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
			return fmt.Errorf("mount the root read-only: %w", err)
		}
	}
	if err := syscall.Chroot(root); err != nil {
		return fmt.Errorf("chroot: %w", err)
	}
	return os.Chdir("/")
}

// fillHost makes a Debian-like root: this machine's /usr below an overlay, a few files of /etc, the
// rest empty. (The root file system as a whole cannot be an overlay's lower layer in a user
// namespace: its child mounts are locked.)
func fillHost(dir, root string) error {
	if err := makeDirs(root, "usr", "etc", "proc", "sys", "dev", "run", "tmp", "root", "var/lib", "var/log", "var/tmp"); err != nil {
		return err
	}
	upper, work := filepath.Join(dir, "upper"), filepath.Join(dir, "work")
	if err := makeDirs(dir, "upper", "work"); err != nil {
		return err
	}
	data := fmt.Sprintf("lowerdir=/usr,upperdir=%s,workdir=%s,userxattr", upper, work)
	if err := syscall.Mount("overlay", filepath.Join(root, "usr"), "overlay", 0, data); err != nil {
		return fmt.Errorf("overlay: %w", err)
	}
	// What was installed by hand here is not on a fresh Debian; and an ordinary user could
	// not write below root's folder.
	if err := syscall.Mount("tmpfs", filepath.Join(root, "usr/local"), "tmpfs", 0, "mode=755"); err != nil {
		return fmt.Errorf("tmpfs on usr/local: %w", err)
	}
	if err := makeDirs(root, "usr/local/bin", "usr/local/sbin"); err != nil {
		return err
	}
	for _, name := range []string{"bin", "sbin", "lib", "lib32", "lib64", "libx32"} {
		target, err := os.Readlink("/" + name)
		if err != nil {
			continue
		}
		if err := os.Symlink(target, filepath.Join(root, name)); err != nil {
			return err
		}
	}
	for _, name := range []string{"passwd", "group", "nsswitch.conf", "ld.so.cache", "os-release", "debian_version"} {
		text, err := os.ReadFile("/etc/" + name)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(root, "etc", name), text, 0o644)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func makeDirs(root string, names ...string) error {
	for _, name := range names {
		if err := os.MkdirAll(filepath.Join(root, name), 0o755); err != nil {
			return err
		}
	}
	return nil
}

func fillBusybox(_, root string) error {
	if err := makeDirs(root, "bin", "sbin", "usr/bin", "usr/local/bin", "etc", "proc", "sys", "dev", "run", "tmp", "root", "var/lib", "var/log"); err != nil {
		return err
	}
	files := map[string]string{
		"etc/passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
		"etc/group":  "root:x:0:\nnogroup:x:65534:\n",
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		return err
	}
	program, err := os.ReadFile(busybox)
	if err != nil {
		return err
	}
	inside := filepath.Join(root, "bin/busybox")
	if err := os.WriteFile(inside, program, 0o755); err != nil {
		return err
	}
	list, err := exec.Command(busybox, "--list").Output()
	if err != nil {
		return err
	}
	for name := range strings.FieldsSeq(string(list)) {
		if err := os.Symlink("/bin/busybox", filepath.Join(root, "bin", name)); err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
	}
	return nil
}

func mountAll(s spec, root string) error {
	if err := syscall.Mount("proc", filepath.Join(root, "proc"), "proc", 0, ""); err != nil {
		return fmt.Errorf("mount proc: %w", err)
	}
	if err := syscall.Mount("tmpfs", filepath.Join(root, "dev"), "tmpfs", 0, "mode=755"); err != nil {
		return fmt.Errorf("mount dev: %w", err)
	}
	for _, dev := range []string{"null", "zero", "full", "random", "urandom", "tty"} {
		if err := bind("/dev/"+dev, filepath.Join(root, "dev", dev), false); err != nil {
			return err
		}
	}
	for from, to := range s.Binds {
		if err := bind(from, filepath.Join(root, to), true); err != nil {
			return err
		}
	}
	for from, to := range s.Writable {
		if err := os.MkdirAll(from, 0o755); err != nil {
			return err
		}
		if err := bind(from, filepath.Join(root, to), false); err != nil {
			return err
		}
	}
	if s.Systemd {
		if err := prepareSystemd(root); err != nil {
			return err
		}
	}
	if len(s.Interpreters) == 0 {
		return nil
	}
	misc := filepath.Join(root, "proc/sys/fs/binfmt_misc")
	if err := syscall.Mount("binfmt_misc", misc, "binfmt_misc", 0, ""); err != nil {
		return fmt.Errorf("mount binfmt_misc in a user namespace (needs Linux 6.7): %w", err)
	}
	for _, line := range s.Interpreters {
		if err := os.WriteFile(filepath.Join(misc, "register"), []byte(line), 0o200); err != nil {
			return fmt.Errorf("register interpreter: %w", err)
		}
	}
	return nil
}

func bind(from, to string, readOnly bool) error {
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	if info.IsDir() {
		err = os.MkdirAll(to, 0o755)
	} else if _, missing := os.Stat(to); missing != nil {
		err = os.WriteFile(to, nil, 0o644)
	}
	if err != nil {
		return err
	}
	if err := syscall.Mount(from, to, "", syscall.MS_BIND|syscall.MS_REC, ""); err != nil {
		return fmt.Errorf("bind %s: %w", from, err)
	}
	if !readOnly {
		return nil
	}
	if err := syscall.Mount("", to, "", syscall.MS_BIND|syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		return fmt.Errorf("bind %s read-only: %w", from, err)
	}
	return nil
}
