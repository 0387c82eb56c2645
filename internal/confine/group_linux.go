package confine

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// newGroup makes a control group of its own for one command, with the limits l, and puts pid into it.
// Where the machine gives none, or none that holds all of l, it is nil: then process limits hold.
func newGroup(pid int, l Limits) *Group {
	if l.Memory == 0 && l.Processes == 0 && l.CPU == 0 {
		return nil
	}
	own, ownErr := os.ReadFile("/proc/self/cgroup")
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if ownErr != nil || err != nil {
		return nil
	}
	at := groupFolders(string(own), string(mounts))
	const digits = 12
	name := "overland-" + strings.ToLower(rand.Text()[:digits])
	g := &Group{limits: "cgroup v2"}
	if dir := at[""]; dir != "" && g.makeV2(filepath.Join(dir, name), l, pid) == nil {
		return g
	}
	g.Remove()
	g = &Group{v1: map[string]string{}, limits: "cgroup v1"}
	if g.makeAllV1(at, name, l, pid) == nil {
		return g
	}
	g.Remove()
	return nil
}

func (g *Group) makeAllV1(at map[string]string, name string, l Limits, pid int) error {
	for _, c := range []struct {
		name   string
		wanted bool
		needed bool // without it the limits do not hold
		set    map[string]string
	}{
		{"memory", l.Memory > 0, true, map[string]string{"memory.limit_in_bytes": strconv.FormatInt(l.Memory, 10)}},
		{"pids", l.Processes > 0, true, map[string]string{"pids.max": strconv.Itoa(l.Processes)}},
		{"cpu", l.CPU > 0, false, map[string]string{"cpu.cfs_quota_us": strconv.Itoa(int(l.CPU * period))}},
	} {
		if !c.wanted {
			continue
		}
		dir := at[c.name]
		if dir == "" {
			if c.needed {
				return fs.ErrNotExist
			}
			continue
		}
		if err := g.makeV1(c.name, filepath.Join(dir, name), c.set, pid); err != nil {
			return err
		}
	}
	return nil
}

// period is what shares of a processor are counted in, in microseconds.
const period = 100_000

// groupFolders returns the folder of this process's own control group for each controller; "" is
// the unified tree.
func groupFolders(own, mounts string) map[string]string {
	points := groupMounts(mounts)
	at := map[string]string{}
	for line := range strings.Lines(own) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(f) != 3 {
			continue
		}
		for _, c := range strings.Split(f[1], ",") {
			m, ok := points[c]
			if !ok {
				continue
			}
			rel, err := filepath.Rel(m.root, f[2])
			if err == nil && rel != ".." && !strings.HasPrefix(rel, "../") {
				at[c] = filepath.Join(m.point, rel)
			}
		}
	}
	return at
}

// groupMount is where a tree of control groups is mounted, and which of its folders.
type groupMount struct{ root, point string }

// groupMounts returns the mounted trees by controller; "" is the unified one.
func groupMounts(mounts string) map[string]groupMount {
	points := map[string]groupMount{}
	for line := range strings.Lines(mounts) {
		before, after, ok := strings.Cut(line, " - ")
		b, a := strings.Fields(before), strings.Fields(after)
		const root, point, options = 3, 4, 2
		if !ok || len(b) <= point || len(a) <= options {
			continue
		}
		m := groupMount{unescape(b[root]), unescape(b[point])}
		switch a[0] {
		case "cgroup2":
			points[""] = m
		case "cgroup":
			for _, c := range strings.Split(a[options], ",") {
				points[c] = m
			}
		}
	}
	return points
}

func (g *Group) make(dir string) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	g.dirs = append(g.dirs, dir)
	return nil
}

func (g *Group) makeV1(name, dir string, set map[string]string, pid int) error {
	if err := g.make(dir); err != nil {
		return err
	}
	g.v1[name] = dir
	for file, value := range set {
		if err := put(dir, file, value); err != nil {
			return err
		}
	}
	if name == "memory" { // where swap is counted too
		_ = put(dir, "memory.memsw.limit_in_bytes", set["memory.limit_in_bytes"])
	}
	return put(dir, "cgroup.procs", strconv.Itoa(pid))
}

func (g *Group) makeV2(dir string, l Limits, pid int) error {
	parent := filepath.Dir(dir)
	var want []string
	set := map[string]string{}
	if l.Memory > 0 {
		want = append(want, "memory")
		set["memory.max"], set["memory.oom.group"] = strconv.FormatInt(l.Memory, 10), "1"
	}
	if l.Processes > 0 {
		want = append(want, "pids")
		set["pids.max"] = strconv.Itoa(l.Processes)
	}
	if l.CPU > 0 {
		want = append(want, "cpu")
		set["cpu.max"] = fmt.Sprintf("%d %d", int(l.CPU*period), period)
	}
	for _, c := range want {
		if err := put(parent, "cgroup.subtree_control", "+"+c); err != nil {
			return err
		}
	}
	if err := g.make(dir); err != nil {
		return err
	}
	g.v2 = dir
	for file, value := range set {
		if err := put(dir, file, value); err != nil && file != "memory.oom.group" { // since Linux 4.19
			return err
		}
	}
	if l.Memory > 0 {
		_ = put(dir, "memory.swap.max", "0") // else the limit only moves the harm to the disk
	}
	return put(dir, "cgroup.procs", strconv.Itoa(pid))
}

// put writes value to a file of a control group that is there.
func put(dir, file, value string) error {
	f, err := os.OpenFile(filepath.Join(dir, file), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(value)
	return errors.Join(err, f.Close())
}

// Reached returns the *LimitError of the limit that was run into, or nil.
func (g *Group) Reached(l Limits) error {
	if g == nil {
		return nil
	}
	switch {
	case g.v2 != "" && counted(g.v2, "memory.events", "oom_kill") > 0,
		g.v1["memory"] != "" && counted(g.v1["memory"], "memory.oom_control", "oom_kill") > 0:
		return &LimitError{"memory", size(l.Memory)}
	case g.v2 != "" && counted(g.v2, "pids.events", "max") > 0,
		g.v1["pids"] != "" && counted(g.v1["pids"], "pids.events", "max") > 0:
		return &LimitError{"processes", strconv.Itoa(l.Processes)}
	}
	return nil
}

// counted returns the number that follows word in a file of lines "word number".
func counted(dir, file, word string) int {
	b, err := os.ReadFile(filepath.Join(dir, file))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) == 2 && f[0] == word {
			n, _ := strconv.Atoi(f[1])
			return n
		}
	}
	return 0
}

// size returns bytes as a person reads them.
func size(bytes int64) string {
	const mib = 1 << 20
	if bytes%mib == 0 {
		return fmt.Sprintf("%d MiB", bytes/mib)
	}
	return fmt.Sprintf("%d bytes", bytes)
}

// Remove removes the group, which must be empty: the kernel may need a moment until what was killed
// has left it.
func (g *Group) Remove() {
	if g == nil {
		return
	}
	for _, dir := range g.dirs {
		for wait := time.Millisecond; wait < time.Second; wait *= 2 {
			if err := os.Remove(dir); err == nil || errors.Is(err, fs.ErrNotExist) {
				break
			}
			time.Sleep(wait)
		}
	}
}
