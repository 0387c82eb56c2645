package confine

import (
	"errors"
	"io"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Parent and keeper hear what the other says, however long it is.
func TestMessages(t *testing.T) {
	ours, theirs, err := SocketPair()
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	if flags, err := unix.FcntlInt(theirs.Fd(), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
		t.Errorf("another program would inherit it: %v", err)
	}
	c, err := net.FileConn(theirs)
	theirs.Close()
	if err != nil {
		t.Fatal(err)
	}
	other := c.(*net.UnixConn)
	for _, n := range []int{0, 1, messageLimit - 4, messageLimit - 3, messageLimit - 2, 3*messageLimit + 1} {
		sent := make(chan error)
		go func() { sent <- Send(ours, strings.Repeat("x", n)) }()
		var got string
		f, err := Receive(other, &got)
		if err := errors.Join(err, <-sent); err != nil || len(got) != n || f != nil {
			t.Errorf("%d: %d, %v", n, len(got), err)
		}
	}
	const much = 33 << 20
	sent := make(chan error)
	go func() { sent <- Send(ours, strings.Repeat("x", much)) }()
	var got string
	if _, err := Receive(other, &got); err == nil {
		t.Error("a message without end is taken")
	}
	other.Close()
	if <-sent == nil {
		t.Error("nobody hears it")
	}
	if _, err := Receive(ours, &got); !errors.Is(err, io.EOF) && !errors.Is(err, unix.ECONNRESET) {
		t.Errorf("the end: %v", err)
	}
}

func TestHowAKeeperIsCloned(t *testing.T) {
	one := func(inside, outside int) []syscall.SysProcIDMap {
		return []syscall.SysProcIDMap{{ContainerID: inside, HostID: outside, Size: 1}}
	}
	for name, test := range map[string]struct{ got, want []syscall.SysProcIDMap }{
		"root":             {idMap(1000, 61000, 0), append(one(1000, 61000), one(0, 0)...)},
		"root as root":     {idMap(0, 61000, 0), append(one(0, 61000), one(65534, 0)...)},
		"root as itself":   {idMap(1000, 0, 0), one(1000, 0)},
		"somebody":         {idMap(1000, 0, 5), one(1000, 5)},
		"somebody as more": {idMap(1000, 61000, 5), one(1000, 5)},
	} {
		if !slices.Equal(test.got, test.want) {
			t.Errorf("%s: %+v, want %+v", name, test.got, test.want)
		}
	}
	const uts, lo = "uts", "network"
	for name, test := range map[string]struct {
		spec    Spec
		service *Service
		mapped  bool
		user    string
		lacks   []string
		session bool
		group   bool
	}{
		"a command":                    {mapped: true, user: "namespace"},
		"without a namespace of users": {spec: Spec{User: User{ID: 5}}, user: "switched", lacks: []string{"user"}},
		"as root":                      {user: "same", lacks: []string{"user"}},
		"a service":                    {service: &Service{}, user: "same", lacks: []string{"user", uts}, session: true},
		"with the network":             {spec: Spec{Network: NetworkHost}, user: "same", lacks: []string{"user", lo}},
		"bare":                         {spec: Spec{Bare: true, User: User{ID: os.Geteuid()}}, user: "same", lacks: []string{"mount", "pid", "ipc", uts, lo, "user"}, group: true},
		"bare, somebody":               {spec: Spec{Bare: true, User: User{ID: 5}}, user: "switched", lacks: []string{"mount", "pid", "ipc", uts, lo, "user"}, group: true},
		"a bare service":               {spec: Spec{Bare: true, User: User{ID: 5}}, service: &Service{}, user: "switched", lacks: []string{"mount", "pid", "ipc", uts, lo, "user"}, session: true},
	} {
		var p Process
		a := p.namespaces(test.spec, test.mapped, test.service)
		for what, flag := range map[string]uintptr{
			"mount": unix.CLONE_NEWNS, "pid": unix.CLONE_NEWPID, "ipc": unix.CLONE_NEWIPC, uts: unix.CLONE_NEWUTS, lo: unix.CLONE_NEWNET, "user": unix.CLONE_NEWUSER,
		} {
			has, told, want := a.Cloneflags&flag != 0, slices.Contains(p.Applied.Namespaces, what), !slices.Contains(test.lacks, what)
			if has != want || told != want {
				t.Errorf("%s: %s: %v, told %v", name, what, has, told)
			}
		}
		if p.Applied.User != test.user || a.Setsid != test.session || a.Setpgid != test.group || (len(a.UidMappings) > 0) != test.mapped {
			t.Errorf("%s: %+v, %+v", name, p.Applied, a)
		}
	}
}

func TestWhatIsMountedIsFoundFirst(t *testing.T) {
	dir := t.TempDir()
	there := filepath.Join(dir, "real")
	if err := errors.Join(os.Mkdir(there, 0o755), os.Symlink(there, filepath.Join(dir, "link"))); err != nil {
		t.Fatal(err)
	}
	for _, target := range []string{"", "relative", "/a/", "/a/../b", "/a//b"} {
		if _, err := resolve([]Mount{{Kind: Temp, Target: target}}); err == nil {
			t.Errorf("the target %q", target)
		}
	}
	missing := filepath.Join(dir, "missing")
	if _, err := resolve([]Mount{{Kind: Bind, Source: missing, Target: "/a"}}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("what is not there: %v", err)
	}
	if _, err := resolve([]Mount{{Kind: Optional, Source: "\x00", Target: "/a"}}); err == nil {
		t.Error("what cannot be looked for is left out")
	}
	got, err := resolve([]Mount{
		{Kind: Optional, Source: missing, Target: "/a"}, {Kind: Bind, Source: filepath.Join(dir, "link"), Target: "/b"}, {Kind: Symlink, Source: "/nowhere", Target: "/c"},
	})
	if err != nil || len(got) != 2 || got[0].Source != there || got[1].Source != "/nowhere" {
		t.Errorf("%+v, %v", got, err)
	}
}

// tree is what the kernel says of a container with the trees of the older kind, and of one with the
// unified one.
const tree = `30 25 0:26 /box /sys/fs/cgroup/mem\040ory ro - cgroup cgroup rw,memory
31 25 0:27 / /sys/fs/cgroup/pids rw,nosuid shared:9 - cgroup cgroup rw,pids
32 25 0:28 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
33 25 0:29 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
34 25 0:30 / /proc rw - proc proc rw
torn line
`

func TestTheFoldersOfControlGroups(t *testing.T) {
	for own, want := range map[string]map[string]string{
		"4:memory:/box/a:b\n3:cpu,cpuacct:/x\n0::/u\n9:name=systemd:/\ntorn\n": {
			"memory": "/sys/fs/cgroup/mem ory/a:b", "cpu": "/sys/fs/cgroup/cpu,cpuacct/x", "cpuacct": "/sys/fs/cgroup/cpu,cpuacct/x", "": "/sys/fs/cgroup/unified/u",
		},
		"4:memory:/other\n1:pids:/\n": {"pids": "/sys/fs/cgroup/pids"}, // not below what is mounted
	} {
		if got := groupFolders(own, tree); !maps.Equal(got, want) {
			t.Errorf("%q: %q, want %q", own, got, want)
		}
	}
	if got := unescape(`a\040b\011c\012d\134e`); got != "a b\tc\nd\\e" {
		t.Errorf("%q", got)
	}
}

func TestLimitsThatWereReached(t *testing.T) {
	dir := t.TempDir()
	write := func(file, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	l := Limits{Memory: 3 << 20, Processes: 7}
	unified, old := &Group{v2: dir}, &Group{v1: map[string]string{"memory": dir, "pids": dir}}
	said := func() (list []string) {
		for _, g := range []*Group{nil, {}, unified, old} {
			if err := g.Reached(l); err != nil {
				list = append(list, err.Error())
			}
		}
		return list
	}
	write("memory.events", "oom 4\noom_kill 0\n")
	write("memory.oom_control", "under_oom 1\noom_kill 0\n")
	write("pids.events", "max 0\nother 3\n")
	if got := said(); got != nil {
		t.Errorf("%q", got)
	}
	write("pids.events", "max 1\n")
	if got := said(); !slices.Equal(got, []string{"the limit of 7 for processes was reached", "the limit of 7 for processes was reached"}) {
		t.Errorf("%q", got)
	}
	write("memory.events", "oom_kill 1\n")
	write("memory.oom_control", "oom_kill 1\n")
	if got := said(); !slices.Equal(got, []string{"the limit of 3 MiB for memory was reached", "the limit of 3 MiB for memory was reached"}) {
		t.Errorf("%q", got)
	}
	if got := size(3<<20 + 1); got != "3145729 bytes" {
		t.Error(got)
	}
}

func TestWhatAGroupLacks(t *testing.T) {
	for name, test := range map[string]struct {
		group  *Group
		limits Limits
		want   int
	}{
		"nothing asked":    {nil, Limits{Files: 5}, 0},
		"no group, memory": {nil, Limits{Memory: 1}, 1},
		"no group, number": {nil, Limits{Processes: 1}, 1},
		"no group, all":    {nil, Limits{Memory: 1, CPU: 1}, 2},
		"none held":        {&Group{cpu: true}, Limits{Processes: 1, CPU: 1}, 1},
		"all held":         {&Group{limits: "cgroup v2", cpu: true}, Limits{Memory: 1, Processes: 1, CPU: 1}, 0},
		"no processors":    {&Group{limits: "cgroup v2"}, Limits{Memory: 1, CPU: 1}, 1},
	} {
		if got := test.group.lacking(test.limits); len(got) != test.want {
			t.Errorf("%s: %q", name, got)
		}
	}
	if orMax(0, "none") != "none" || orMax(-1, "none") != "none" || orMax(1, "none") != "1" {
		t.Error("no limit is not 0")
	}
}

func TestTheRoomOnADisk(t *testing.T) {
	mounts := func(sources ...string) (list []Mount) {
		for _, s := range sources {
			list = append(list, Mount{Kind: Bind, Source: s, Writable: true})
		}
		return list
	}
	all := append(mounts("/b/in", "/a", "/b", "/a", "/ab"), Mount{Kind: Bind, Source: "/read"}, Mount{Kind: Temp, Source: "/temp", Writable: true})
	if d := newDisk(Spec{Limits: Limits{Disk: 1}, Mounts: all}); !slices.Equal(d.folders, []string{"/a", "/ab", "/b"}) {
		t.Errorf("%q", d.folders)
	}
	if newDisk(Spec{Mounts: all}) != nil {
		t.Error("no limit is measured")
	}
	dir := t.TempDir()
	d := newDisk(Spec{Limits: Limits{Disk: 1 << 20}, Mounts: mounts(dir)})
	put := func(name string, bytes, hole int64) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := errors.Join(os.WriteFile(path, make([]byte, bytes), 0o600), os.Truncate(path, bytes+hole)); err != nil {
			t.Fatal(err)
		}
	}
	put("before", 2<<20, 0)
	d.measure()
	free := d.free
	if err := errors.Join(d.reached(), d.full()); err != nil || free == 0 {
		t.Errorf("nothing was written: %v", err)
	}
	now := d.size()
	put("hole", 0, 1<<30)
	if err := errors.Join(os.Symlink("x", filepath.Join(dir, "link")), os.Mkdir(filepath.Join(dir, "folder"), 0o700), os.WriteFile(filepath.Join(dir, "empty"), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	if got := d.size() - now; got != 4*block {
		t.Errorf("a hole, a link, a folder and an empty file take %d bytes", got)
	}
	// Just looked, it looks again only when the disk has lost more than the limit leaves.
	put("more", 1<<20, 0)
	d.next, d.last, d.free = time.Now().Add(time.Hour), 0, free
	d.free = must(d.room())
	if err := d.reached(); err != nil {
		t.Errorf("it was walked: %v", err)
	}
	d.last, d.free = 1<<20, d.free+(64<<20)
	var limit *LimitError
	if err := d.reached(); !errors.As(err, &limit) || limit.What != "disk" || limit.Limit != "1 MiB" {
		t.Errorf("more than the limit: %v", err)
	}
	if err := d.full(); !errors.As(err, &limit) {
		t.Errorf("full: %v", err)
	}
	if n, rss := private(os.Getpid()), resident(t); n <= 0 || n >= rss {
		t.Errorf("%d bytes of %d are its own", n, rss)
	}
}

func must(n, _ int64) int64 { return n }

func resident(t *testing.T) int64 {
	t.Helper()
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	var n int64
	for _, c := range strings.Fields(string(b))[1] {
		n = n*10 + int64(c-'0')
	}
	return n * int64(os.Getpagesize())
}

// permits runs a program for devices as the kernel does and returns its answer.
func permits(t *testing.T, code []instruction, block bool, major, minor uint32) bool {
	t.Helper()
	const readAndWrite = 6
	context := map[int16]uint32{0: readAndWrite<<16 | 2, 4: major, 8: minor}
	if block {
		context[0] = readAndWrite<<16 | 1
	}
	var r [10]uint32
	for at := 0; at < len(code); at++ {
		i := code[at]
		to, from := i.reg&0xf, i.reg>>4
		switch i.op {
		case 0x61: // *(u32 *)(from + off)
			if from != 1 {
				t.Fatalf("%d: %+v reads elsewhere", at, i)
			}
			r[to] = context[i.off]
		case 0x57:
			r[to] &= uint32(i.imm)
		case 0x55:
			if r[to] != uint32(i.imm) {
				at += int(i.off)
			}
		case 0xb7:
			r[to] = uint32(i.imm)
		case 0x95:
			return r[0] == 1
		default:
			t.Fatalf("%d: %+v", at, i)
		}
	}
	t.Fatal("it has no end")
	return false
}

func TestWhichDevicesMayBeUsed(t *testing.T) {
	code := deviceProgram(append(everyones(), device{block: true, major: 8, minor: 1}, device{major: 10, minor: 200}))
	for name, test := range map[string]struct {
		block        bool
		major, minor uint32
		want         bool
	}{
		"null": {major: 1, minor: 3, want: true}, "zero": {major: 1, minor: 5, want: true}, "full": {major: 1, minor: 7, want: true},
		"random": {major: 1, minor: 8, want: true}, "urandom": {major: 1, minor: 9, want: true}, "tty": {major: 5, want: true},
		"ptmx": {major: 5, minor: 2, want: true}, "a terminal": {major: 136, minor: 77, want: true}, "asked for": {major: 10, minor: 200, want: true},
		"a disk asked for": {block: true, major: 8, minor: 1, want: true},
		"memory":           {major: 1, minor: 1}, "the kernel's": {major: 1, minor: 11}, "the console": {major: 5, minor: 1}, "another disk": {block: true, major: 8, minor: 2},
		"a disk of that number": {block: true, major: 10, minor: 200}, "not a disk": {major: 8, minor: 1}, "blocks of null's number": {block: true, major: 1, minor: 3},
	} {
		if got := permits(t, code, test.block, test.major, test.minor); got != test.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	// The older controller is told the same, first of all that nothing may be used.
	dir := t.TempDir()
	var told [2]*os.File
	for k, name := range []string{"devices.deny", "devices.allow"} {
		path := filepath.Join(dir, name)
		if err := unix.Mkfifo(path, 0o600); err != nil {
			t.Fatal(err)
		}
		var err error
		if told[k], err = os.OpenFile(path, os.O_RDWR, 0); err != nil {
			t.Fatal(err)
		}
		defer told[k].Close()
	}
	if err := (&Group{v1: map[string]string{"devices": dir}}).AllowDevices([]string{"/dev/null"}); err != nil {
		t.Fatal(err)
	}
	for k, want := range []string{"a", "c 1:3 rwmc 1:5 rwmc 1:7 rwmc 1:8 rwmc 1:9 rwmc 5:0 rwmc 5:2 rwmc 136:* rwmc 1:3 rwm"} {
		got := make([]byte, len(want))
		if _, err := io.ReadFull(told[k], got); err != nil || string(got) != want {
			t.Errorf("%q, %v; want %q", got, err, want)
		}
	}
	for _, path := range []string{dir, filepath.Join(dir, "missing")} {
		if err := (&Group{v1: map[string]string{"devices": dir}}).AllowDevices([]string{path}); err == nil {
			t.Errorf("%s is a device", path)
		}
	}
}

func TestTheNamesOfCapabilities(t *testing.T) {
	at := map[string]int{
		"chown": unix.CAP_CHOWN, "dac_override": unix.CAP_DAC_OVERRIDE, "dac_read_search": unix.CAP_DAC_READ_SEARCH, "fowner": unix.CAP_FOWNER, "fsetid": unix.CAP_FSETID,
		"kill": unix.CAP_KILL, "setgid": unix.CAP_SETGID, "setuid": unix.CAP_SETUID, "setpcap": unix.CAP_SETPCAP, "linux_immutable": unix.CAP_LINUX_IMMUTABLE,
		"net_bind_service": unix.CAP_NET_BIND_SERVICE, "net_broadcast": unix.CAP_NET_BROADCAST, "net_admin": unix.CAP_NET_ADMIN, "net_raw": unix.CAP_NET_RAW,
		"ipc_lock": unix.CAP_IPC_LOCK, "ipc_owner": unix.CAP_IPC_OWNER, "sys_module": unix.CAP_SYS_MODULE, "sys_rawio": unix.CAP_SYS_RAWIO, "sys_chroot": unix.CAP_SYS_CHROOT,
		"sys_ptrace": unix.CAP_SYS_PTRACE, "sys_pacct": unix.CAP_SYS_PACCT, "sys_admin": unix.CAP_SYS_ADMIN, "sys_boot": unix.CAP_SYS_BOOT, "sys_nice": unix.CAP_SYS_NICE,
		"sys_resource": unix.CAP_SYS_RESOURCE, "sys_time": unix.CAP_SYS_TIME, "sys_tty_config": unix.CAP_SYS_TTY_CONFIG, "mknod": unix.CAP_MKNOD, "lease": unix.CAP_LEASE,
		"audit_write": unix.CAP_AUDIT_WRITE, "audit_control": unix.CAP_AUDIT_CONTROL, "setfcap": unix.CAP_SETFCAP, "mac_override": unix.CAP_MAC_OVERRIDE,
		"mac_admin": unix.CAP_MAC_ADMIN, "syslog": unix.CAP_SYSLOG, "wake_alarm": unix.CAP_WAKE_ALARM, "block_suspend": unix.CAP_BLOCK_SUSPEND, "audit_read": unix.CAP_AUDIT_READ,
		"perfmon": unix.CAP_PERFMON, "bpf": unix.CAP_BPF, "checkpoint_restore": unix.CAP_CHECKPOINT_RESTORE,
	}
	for name, n := range at {
		if set, err := capabilities([]string{"CAP_" + strings.ToUpper(name)}); err != nil || set != 1<<n {
			t.Errorf("%s: %x, %v", name, set, err)
		}
	}
	if len(Capabilities()) != len(at) {
		t.Errorf("%d names", len(Capabilities()))
	}
	if _, err := capabilities([]string{"CAP_CHOWN", "CAP_CAP_CHOWN"}); err == nil {
		t.Error("a name that is none")
	}
	for _, name := range []string{"sys_admin", "sys_ptrace", "sys_module", "sys_rawio", "dac_read_search", "bpf", "perfmon", "mac_admin", "mac_override", "sys_boot", "checkpoint_restore"} {
		if !slices.Contains(Escapes(), name) {
			t.Errorf("nothing keeps %s apart", name)
		}
	}
}
