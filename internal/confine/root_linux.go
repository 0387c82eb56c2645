package confine

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Where the two roots are while the private one is made.
const (
	oldRoot = "/old"
	newRoot = "/new"
)

// System returns the mounts that show the machine's own programs, read-only: what every tool needs
// to run, and neither homes, nor keys, nor anything that a service of the machine keeps.
func System() ([]Mount, error) {
	list := []Mount{{Kind: Bind, Source: "/usr", Target: "/usr"}}
	for _, name := range []string{"/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"} {
		info, err := os.Lstat(name)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return nil, err
		case info.Mode().Type() == fs.ModeSymlink:
			to, err := os.Readlink(name)
			if err != nil {
				return nil, err
			}
			list = append(list, Mount{Kind: Symlink, Source: to, Target: name})
		default:
			list = append(list, Mount{Kind: Bind, Source: name, Target: name})
		}
	}
	// Of /etc only what programs need to start and to check certificates.
	for _, name := range []string{
		"alternatives", "apk/arch", "apk/keys", "apt/keyrings", "apt/trusted.gpg", "apt/trusted.gpg.d", "ca-certificates", "debian_version", "alpine-release", "ld.so.cache",
		"ld.so.conf", "ld.so.conf.d", "localtime", "os-release", "services", "protocols", "mime.types", "ssl/certs", "ssl/openssl.cnf", "pki/tls/certs",
		"ld-musl-x86_64.path", "ld-musl-aarch64.path", "ld-musl-armhf.path", "fonts", "python3", "perl", "magic", "terminfo", "timezone",
	} {
		list = append(list, Mount{Kind: Optional, Source: "/etc/" + name, Target: "/etc/" + name})
	}
	return append(list,
		Mount{Kind: Optional, Source: "/var/lib/dpkg", Target: "/var/lib/dpkg"},
		Mount{Kind: Proc, Target: "/proc"},
		Mount{Kind: Devices, Target: "/dev"},
		Mount{Kind: Temp, Target: "/tmp", Mode: 0o1777, Exec: true},
		Mount{Kind: Temp, Target: "/run"},
		Mount{Kind: Symlink, Source: "/run", Target: "/var/run"},
		Mount{Kind: Symlink, Source: "/tmp", Target: "/var/tmp"},
	), nil
}

// resolve returns the mounts with the sources of the machine as they really are; Optional ones that
// are missing are left out.
func resolve(mounts []Mount) ([]Mount, error) {
	var list []Mount
	for _, m := range mounts {
		if m.Target == "" || !filepath.IsAbs(m.Target) || filepath.Clean(m.Target) != m.Target {
			return nil, fmt.Errorf("confine: mount target %q: not a clean absolute path", m.Target)
		}
		if m.Kind == Bind || m.Kind == Optional {
			source, err := filepath.EvalSymlinks(m.Source)
			if m.Kind == Optional && (errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission)) {
				continue
			}
			if err != nil {
				return nil, err
			}
			m.Source = source
		}
		list = append(list, m)
	}
	return list, nil
}

// privateRoot makes the root of mounts and moves into it: nothing else of the machine is left.
func privateRoot(mounts []Mount, mapped bool) error {
	if err := apart(); err != nil {
		return err
	}
	if err := setAside(); err != nil {
		return err
	}
	if err := mountAt("tmpfs", newRoot, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=0755,size=16m"); err != nil {
		return err
	}
	b := builder{ours: map[uint64]bool{}}
	if err := b.note(newRoot); err != nil {
		return err
	}
	for _, m := range mounts {
		if err := b.place(m); err != nil {
			return fmt.Errorf("%s %s: %w", m.Kind, m.Target, err)
		}
	}
	if len(mounts) == 0 || mounts[0].Target != "/" {
		if err := unix.Mount("", newRoot, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV, ""); err != nil {
			return fmt.Errorf("close the root: %w", err)
		}
	}
	if err := os.Chdir(newRoot); err != nil {
		return err
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("move into the root: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("leave the machine's root: %w", err)
	}
	return os.Chdir("/")
}

// apart keeps what is mounted from here on from the machine.
func apart() error {
	err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, "")
	if errors.Is(err, unix.EINVAL) { // the root is not a mount: this is a chroot
		return noRoot(err)
	}
	if err != nil {
		return fmt.Errorf("keep mounts apart: %w", err)
	}
	return nil
}

func noRoot(err error) error {
	return &UnableError{"a root of its own", "on a machine that runs from its initramfs, or in a chroot, run it from a real root", err}
}

// setAside moves the machine's root to oldRoot, below a folder in memory that has newRoot too.
func setAside() error {
	const base = "/tmp"
	if err := mountAt("tmpfs", base, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=0755,size=1m"); err != nil {
		return err
	}
	for _, dir := range []string{oldRoot, newRoot} {
		if err := os.Mkdir(base+dir, 0o755); err != nil {
			return err
		}
	}
	if err := unix.PivotRoot(base, base+oldRoot); err != nil {
		return noRoot(err)
	}
	return os.Chdir("/")
}

func mountAt(source, target, kind string, flags uintptr, data string) error {
	if err := unix.Mount(source, target, kind, flags, data); err != nil {
		return fmt.Errorf("mount %s on %s: %w", kind, target, err)
	}
	return nil
}

// builder makes a private root.
type builder struct {
	ours map[uint64]bool // the devices of the folders in memory that were made for it
}

// note notes that the folder at is in memory, and ours.
func (b *builder) note(at string) error {
	var st unix.Stat_t
	if err := unix.Stat(at, &st); err != nil {
		return err
	}
	b.ours[uint64(st.Dev)] = true //nolint:unconvert // 32 bits on some CPUs
	return nil
}

// check returns an error when name would be made in a folder of the machine: a private root is made
// of what is there, and changes nothing.
func (b *builder) check(root *os.Root, name string) error {
	for dir := filepath.Dir(name); ; dir = filepath.Dir(dir) {
		info, err := root.Stat(dir)
		if errors.Is(err, fs.ErrNotExist) && dir != "." {
			continue
		}
		if err != nil {
			return err
		}
		if st, ok := info.Sys().(*syscall.Stat_t); !ok || !b.ours[uint64(st.Dev)] { //nolint:unconvert // as above
			return fmt.Errorf("/%s is not there, and lies in a folder of the machine", name)
		}
		return nil
	}
}

// place makes m below newRoot.
func (b *builder) place(m Mount) error {
	at := filepath.Join(newRoot, m.Target)
	root, err := os.OpenRoot(newRoot)
	if err != nil {
		return err
	}
	defer root.Close()
	name := strings.TrimPrefix(m.Target, "/")
	if name == "" {
		name = "."
	}
	switch m.Kind {
	case Bind, Optional:
		from := filepath.Join(oldRoot, m.Source)
		info, err := os.Stat(from)
		if m.Kind == Optional && errors.Is(err, fs.ErrPermission) { // below a folder of another user
			return nil
		}
		if err != nil {
			return err
		}
		if err := b.makeTarget(root, name, info.IsDir()); err != nil {
			return err
		}
		return bind(from, at, m.Writable)
	case Symlink:
		if err := b.makeParent(root, name); err != nil {
			return err
		}
		return root.Symlink(m.Source, name)
	case File:
		if err := b.makeParent(root, name); err != nil {
			return err
		}
		f, err := root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, fs.FileMode(cmp.Or(m.Mode, 0o444)))
		if err != nil {
			return err
		}
		_, err = f.Write(m.Content)
		return errors.Join(err, f.Close())
	}
	if m.Kind == Device {
		if err := b.makeTarget(root, name, false); err != nil {
			return err
		}
		return unix.Mount(filepath.Join(oldRoot, m.Source), at, "", unix.MS_BIND, "")
	}
	if err := b.makeTarget(root, name, true); err != nil {
		return err
	}
	switch m.Kind {
	case Temp:
		flags, data := uintptr(unix.MS_NOSUID|unix.MS_NODEV), fmt.Sprintf("mode=%#o", cmp.Or(m.Mode, 0o755))
		if !m.Exec {
			flags |= unix.MS_NOEXEC
		}
		if m.Size > 0 {
			data += fmt.Sprintf(",size=%d", m.Size)
		}
		if err := mountAt("tmpfs", at, "tmpfs", flags, data); err != nil {
			return err
		}
		return b.note(at)
	case Proc:
		return mountProc(at)
	case Devices:
		if err := mountDevices(at); err != nil {
			return err
		}
		return errors.Join(b.note(at), b.note(filepath.Join(at, "shm")))
	}
	return fmt.Errorf("confine: no kind of mount is called %q", m.Kind)
}

// makeTarget makes what is to be mounted over; what is there already stays.
func (b *builder) makeTarget(root *os.Root, name string, dir bool) error {
	if _, err := root.Stat(name); err == nil {
		return nil
	}
	if err := b.makeParent(root, name); err != nil {
		return err
	}
	if dir {
		return root.Mkdir(name, 0o755)
	}
	f, err := root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o444)
	if err != nil {
		return err
	}
	return f.Close()
}

func (b *builder) makeParent(root *os.Root, name string) error {
	if err := b.check(root, name); err != nil {
		return err
	}
	return root.MkdirAll(filepath.Dir(name), 0o755)
}

// bind shows from at to, with all that is mounted below it; without set-user-id programs and
// devices.
func bind(from, to string, writable bool) error {
	if err := unix.Mount(from, to, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return err
	}
	set := uint64(unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV)
	if !writable {
		set |= unix.MOUNT_ATTR_RDONLY
	}
	err := unix.MountSetattr(unix.AT_FDCWD, to, unix.AT_RECURSIVE, &unix.MountAttr{Attr_set: set})
	if errors.Is(err, unix.ENOSYS) { // before Linux 5.12
		return remount(to, writable)
	}
	return err
}

// remount is what mount_setattr does, one mount after the other.
func remount(to string, writable bool) error {
	b, err := os.ReadFile(oldRoot + "/proc/self/mountinfo")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		const point, options = 4, 5
		if len(f) <= options {
			continue
		}
		at := unescape(f[point])
		if at != to && !strings.HasPrefix(at, to+"/") {
			continue
		}
		flags := uintptr(unix.MS_REMOUNT | unix.MS_BIND | unix.MS_NOSUID | unix.MS_NODEV)
		if !writable {
			flags |= unix.MS_RDONLY
		}
		// A flag that the machine has set must stay: a user namespace may not take it away.
		for _, o := range strings.Split(f[options], ",") {
			flags |= map[string]uintptr{
				"ro": unix.MS_RDONLY, "noexec": unix.MS_NOEXEC, "noatime": unix.MS_NOATIME,
				"nodiratime": unix.MS_NODIRATIME, "relatime": unix.MS_RELATIME,
			}[o]
		}
		if err := unix.Mount("", at, "", flags, ""); err != nil {
			return fmt.Errorf("remount %s: %w", at, err)
		}
	}
	return nil
}

// unescape undoes the octal escapes of mountinfo.
func unescape(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}

// mountProc shows the processes of this namespace; what of /proc changes or tells of the machine is
// closed.
func mountProc(at string) error {
	if err := unix.Mount("proc", at, "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		if errors.Is(err, unix.EPERM) {
			return &UnableError{"a /proc of its own", "run it as root; in a container /proc must not be masked", err}
		}
		return err
	}
	for _, name := range []string{"bus", "fs", "irq", "sys", "sysrq-trigger"} {
		p := filepath.Join(at, name)
		if _, err := os.Lstat(p); err != nil {
			continue
		}
		if err := bind(p, p, false); err != nil {
			return err
		}
	}
	for _, name := range []string{"acpi", "asound", "interrupts", "kcore", "keys", "latency_stats", "timer_list", "timer_stats", "sched_debug", "scsi"} {
		p := filepath.Join(at, name)
		info, err := os.Lstat(p)
		if err != nil {
			continue
		}
		if info.IsDir() {
			err = unix.Mount("tmpfs", p, "tmpfs", unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "size=0")
		} else {
			err = unix.Mount(oldRoot+"/dev/null", p, "", unix.MS_BIND, "")
		}
		if err != nil {
			return fmt.Errorf("close %s: %w", name, err)
		}
	}
	return nil
}

// mountDevices makes a /dev with no hardware in it.
func mountDevices(at string) error {
	if err := mountAt("tmpfs", at, "tmpfs", unix.MS_NOSUID|unix.MS_NOEXEC|unix.MS_NODEV, "mode=0755,size=64k"); err != nil {
		return err
	}
	for _, name := range []string{"null", "zero", "full", "random", "urandom", "tty"} {
		to := filepath.Join(at, name)
		if err := os.WriteFile(to, nil, 0o666); err != nil {
			return err
		}
		if err := unix.Mount(filepath.Join(oldRoot, "dev", name), to, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	for name, to := range map[string]string{"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2", "ptmx": "pts/ptmx"} {
		if err := os.Symlink(to, filepath.Join(at, name)); err != nil {
			return err
		}
	}
	for _, name := range []string{"pts", "shm"} {
		if err := os.Mkdir(filepath.Join(at, name), 0o755); err != nil {
			return err
		}
	}
	if err := mountAt("devpts", filepath.Join(at, "pts"), "devpts", unix.MS_NOSUID|unix.MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620"); err != nil {
		return err
	}
	return mountAt("tmpfs", filepath.Join(at, "shm"), "tmpfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "mode=1777,size=256m")
}
