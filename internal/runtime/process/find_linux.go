package process

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"overland/internal/confine"
	"overland/internal/digest"
	"overland/internal/fsx"
	"overland/internal/procfs"
	"overland/internal/runtime"
)

// find returns the record of the living process that runs what is recorded at path: by the record
// or, when a full disk kept it from being written or the file is damaged, by the control groups,
// which only root can put a process into. The caller holds the record's lock.
func find(path string) (record, bool) {
	r, known := readRecord(path)
	if known && r.alive() {
		return r, true
	}
	for _, name := range confine.FindGroups(groupPrefix(path)) {
		if known && r.PID != 0 && name == r.Group {
			continue // what the recorded run left behind
		}
		if found, ok := ofGroup(path, name); ok {
			return found, true
		}
	}
	return record{}, false
}

// A control group of a run is named PREFIX then the first digits of the instance's digest, a dot
// and those of the run id.
const digits = 16

// groupPrefix returns how the names of the control groups of what is recorded at path begin.
func groupPrefix(path string) string {
	const longest = 80
	sum := sha256.Sum256([]byte(path))
	name := strings.TrimSuffix(filepath.Base(path), ".json")
	return name[:min(len(name), longest)] + "-" + hex.EncodeToString(sum[:digits/2]) + "."
}

func (r record) groupName(path string) string {
	return groupPrefix(path) + r.Instance.Encoded()[:digits] + "." + strings.ToLower(r.Run[:digits])
}

// ofGroup returns a record of the keeper that leads the control group name. What a keeper left behind
// when it was killed leads a session too.
func ofGroup(path, name string) (record, bool) {
	members := confine.FindGroup(name).Processes()
	part, _, ok := strings.Cut(strings.TrimPrefix(name, groupPrefix(path)), ".")
	if !ok {
		return record{}, false
	}
	for _, pid := range members {
		s, err := procfs.Read(pid)
		if err != nil || s.Dead() || s.Session != pid || slices.Contains(members, s.Parent) || becameService(pid) {
			continue
		}
		r := newRecord(runtime.Instance{}, 0)
		r.Instance, r.PID, r.Start, r.Group, r.Since = digest.Digest("sha256:"+part), pid, s.Start, name, startTime(pid)
		r.UID, r.GID, _ = owner(pid)
		return r, true
	}
	return record{}, false
}

// runs reports whether r is of the instance i. One that was found by its control group has only the
// beginning of the digest.
func (r record) runs(i runtime.Instance) bool {
	want := i.Digest()
	return r.Instance == want || len(r.Instance) == len("sha256:")+digits && strings.HasPrefix(string(want), string(r.Instance))
}

// settles waits until the process of r runs the service, and reports false when it ended instead: an
// agent may have been killed between the record and its word to the keeper, which ends then.
func (r record) settles(ctx context.Context) bool {
	const most = 10 * time.Second
	for end, wait := time.Now().Add(most), time.Millisecond; r.living(); wait = min(2*wait, 50*time.Millisecond) {
		if becameService(r.PID) || hasChild(r.PID) || ctx.Err() != nil || time.Now().After(end) {
			return true
		}
		time.Sleep(wait)
	}
	return false
}

// becameService reports whether pid is a keeper no more; one that is ending has no arguments.
func becameService(pid int) bool {
	const most = 1 << 20
	b, err := fsx.ReadFile("/proc/"+strconv.Itoa(pid)+"/cmdline", most)
	args := bytes.Split(b, []byte{0})
	return err == nil && len(b) > 0 && (len(args) < 2 || string(args[1]) != confine.Verb)
}

func hasChild(pid int) (found bool) {
	_ = procfs.Each(func(s procfs.Process) { found = found || s.Parent == pid })
	return found
}

// startTime returns when pid started, as well as it can be told: its folder in /proc
// carries that time on most kernels.
func startTime(pid int) time.Time {
	info, err := os.Stat("/proc/" + strconv.Itoa(pid))
	if err != nil {
		return time.Now()
	}
	return info.ModTime()
}
