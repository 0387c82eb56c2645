package confine

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Group is a control group, in one folder (v2) or several (v1); nil = the machine gives none. One with
// a name lies in the folder "overland" below the top of each tree: it can be found again later, and
// only root can put a process into it or take one out.
type Group struct {
	dirs   []string          // where processes are
	v2     string            // its folder
	v1     map[string]string // controller → folder
	limits string            // what holds them: "cgroup v2", "cgroup v1"; "" = no limit is set
	cpu    bool              // it holds the limit for processors too
}

const groupHome = "overland"

// MakeGroup makes the control group name, or takes it over as it is, with the limits l; nil where
// the machine gives none.
func MakeGroup(name string, l Limits) *Group {
	points := groupPoints()
	if _, old := points["pids"]; !old && points[""] != "" {
		return makeNamedV2(filepath.Join(points[""], groupHome, name), l)
	}
	g := &Group{v1: map[string]string{}, limits: "cgroup v1"}
	values := map[string]map[string]string{
		"pids": {"pids.max": orMax(int64(l.Processes), "max")}, "devices": nil, "freezer": nil,
		"memory": {"memory.limit_in_bytes": orMax(l.Memory, "-1")},
		"cpu":    {"cpu.cfs_quota_us": orMax(int64(l.CPU*period), "-1")},
	}
	for _, c := range slices.Sorted(maps.Keys(values)) {
		point := points[c]
		if point == "" {
			continue
		}
		dir := filepath.Join(point, groupHome, name)
		if os.MkdirAll(dir, 0o755) != nil {
			continue
		}
		held := true
		for file, value := range values[c] {
			held = held && put(dir, file, value) == nil
		}
		if c == "memory" {
			_ = put(dir, "memory.memsw.limit_in_bytes", orMax(l.Memory, "-1"))
		}
		if held {
			g.v1[c] = dir
		}
		if !slices.Contains(g.dirs, dir) {
			g.dirs = append(g.dirs, dir)
		}
	}
	if len(g.dirs) == 0 {
		return nil
	}
	g.cpu = g.v1["cpu"] != ""
	if l.Memory > 0 && g.v1["memory"] == "" || l.Processes > 0 && g.v1["pids"] == "" {
		g.limits = ""
	}
	return g
}

func makeNamedV2(dir string, l Limits) *Group {
	home := filepath.Dir(dir)
	if os.MkdirAll(dir, 0o755) != nil {
		return nil
	}
	g := &Group{v2: dir, dirs: []string{dir}, limits: "cgroup v2"}
	held := func(controller, file, value string, wanted bool) bool {
		for _, at := range []string{filepath.Dir(home), home} {
			_ = put(at, "cgroup.subtree_control", "+"+controller)
		}
		return put(dir, file, value) == nil || !wanted
	}
	memory := held("memory", "memory.max", orMax(l.Memory, "max"), l.Memory > 0)
	pids := held("pids", "pids.max", orMax(int64(l.Processes), "max"), l.Processes > 0)
	if l.Memory > 0 {
		_ = put(dir, "memory.oom.group", "1")
		_ = put(dir, "memory.swap.max", "0")
	}
	quota := "max"
	if l.CPU > 0 {
		quota = strconv.Itoa(int(l.CPU * period))
	}
	g.cpu = held("cpu", "cpu.max", quota+" "+strconv.Itoa(period), l.CPU > 0)
	if !memory || !pids {
		g.limits = ""
	}
	return g
}

func orMax(n int64, none string) string {
	if n <= 0 {
		return none
	}
	return strconv.FormatInt(n, 10)
}

// FindGroup returns the control group name, or nil when there is none.
func FindGroup(name string) *Group {
	g := &Group{v1: map[string]string{}}
	for c, point := range groupPoints() {
		dir := filepath.Join(point, groupHome, name)
		if info, err := os.Stat(dir); err != nil || !info.IsDir() {
			continue
		}
		if c == "" {
			g.v2 = dir
		} else {
			g.v1[c] = dir
		}
		if !slices.Contains(g.dirs, dir) {
			g.dirs = append(g.dirs, dir)
		}
	}
	if len(g.dirs) == 0 {
		return nil
	}
	slices.Sort(g.dirs)
	return g
}

// FindGroups returns the names of the control groups that begin with prefix, sorted.
func FindGroups(prefix string) []string {
	var list []string
	for _, point := range groupPoints() {
		entries, err := os.ReadDir(filepath.Join(point, groupHome))
		if err != nil {
			continue
		}
		for _, e := range entries {
			if e.IsDir() && strings.HasPrefix(e.Name(), prefix) && !slices.Contains(list, e.Name()) {
				list = append(list, e.Name())
			}
		}
	}
	slices.Sort(list)
	return list
}

// groupPoints returns where the tree of each controller is mounted; "" is the unified one.
func groupPoints() map[string]string {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil
	}
	at := map[string]string{}
	for c, m := range groupMounts(string(mounts)) {
		at[c] = m.point
	}
	return at
}

// join puts the process pid, which has started nothing yet, into the group.
func (g *Group) join(pid int) error {
	for _, dir := range g.dirs {
		if err := put(dir, "cgroup.procs", strconv.Itoa(pid)); err != nil {
			return err
		}
	}
	return nil
}

// Processes returns the ids of the processes in the group.
func (g *Group) Processes() []int {
	if g == nil {
		return nil
	}
	var list []int
	for _, dir := range g.dirs {
		b, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
		if err != nil {
			continue
		}
		for _, word := range strings.Fields(string(b)) {
			if pid, err := strconv.Atoi(word); err == nil && pid > 0 && !slices.Contains(list, pid) {
				list = append(list, pid)
			}
		}
	}
	return list
}

// lacking returns what of l the group does not hold, in words.
func (g *Group) lacking(l Limits) (missing []string) {
	if (g == nil || g.limits == "") && (l.Memory > 0 || l.Processes > 0) {
		missing = append(missing, "control groups: memory and processes are limited for each process only; mount them, or run the agent as root")
	}
	if (g == nil || !g.cpu) && l.CPU > 0 {
		missing = append(missing, "control groups: processors are not limited; mount the controller cpu, or run the agent as root")
	}
	return missing
}
