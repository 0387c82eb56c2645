package process

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"os"
	"slices"
	"time"

	"overland/internal/confine"
	"overland/internal/digest"
	"overland/internal/fsx"
	"overland/internal/procfs"
	"overland/internal/runtime"
)

// runVar marks every process of a run, "<run id> <record path>": where the machine has no control
// groups, what a service leaves behind is told by the id. Nothing is ever adopted for it.
const runVar = "OVERLAND_RUN"

// record is the record file, which says who runs an instance: only its owner can read or write it.
// It is written twice, each time durably: before the fork without a process (PID 0), and after it,
// before the service may run. So a service that nobody recorded never ran.
type record struct {
	Schema   int           `json:"schema"` // 2
	Name     string        `json:"name"`
	Run      string        `json:"run"`      // id of the run, as in runVar
	Instance digest.Digest `json:"instance"` // runtime.Instance.Digest
	Program  string        `json:"program"`  // for people
	PID      int           `json:"pid"`      // 0 = about to be started
	Start    uint64        `json:"start"`    // kernel start time, clock ticks after boot
	Boot     string        `json:"boot"`     // boot id
	Since    time.Time     `json:"since"`
	LogStart int64         `json:"logStart"`

	UID      uint32           `json:"uid"` // of the service
	GID      uint32           `json:"gid"`
	Group    string           `json:"group,omitempty"` // the control group of this run
	Limits   confine.Limits   `json:"limits,omitzero"`
	KeepsLog bool             `json:"keepsLog,omitempty"` // its keeper writes the log
	Confined runtime.Confined `json:"confined"`
}

const (
	recordLimit = 64 << 10
	schema      = 2
	oldSchema   = 1 // of agents that started services without a keeper
)

// newRecord returns the record of a run that is about to start.
func newRecord(i runtime.Instance, logStart int64) record {
	return record{
		Schema: schema, Name: i.Name, Run: rand.Text(), Instance: i.Digest(), Program: i.Program,
		Boot: bootID(), Since: time.Now(), LogStart: logStart,
	}
}

func (r record) write(disk fsx.FS, path string) error {
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return disk.WriteFile(path, append(b, '\n'), 0o600)
}

// readRecord returns the record at path. A missing or damaged one is false: the
// control groups tell then.
func readRecord(path string) (record, bool) {
	b, err := fsx.ReadFile(path, recordLimit)
	if err != nil {
		return record{}, false
	}
	return parseRecord(b)
}

func parseRecord(b []byte) (record, bool) {
	var r record
	d := json.NewDecoder(bytes.NewReader(b))
	if err := d.Decode(&r); err != nil || r.Schema != schema && r.Schema != oldSchema || r.Run == "" || r.PID < 0 || r.PID == 1 || r.LogStart < 0 {
		return record{}, false
	}
	return r, true
}

// mark returns the value of runVar for the run of r recorded at path.
func (r record) mark(path string) string { return r.Run + " " + path }

// alive reports whether the process that r names lives: same boot, same start, same user, and in
// the run's control group where it has one.
func (r record) alive() bool {
	if r.PID <= 1 || r.Boot != bootID() || !r.living() {
		return false
	}
	if r.Schema == oldSchema {
		return true
	}
	if !r.owns(r.PID) {
		return false
	}
	g := confine.FindGroup(r.Group)
	return r.Group == "" || g == nil || slices.Contains(g.Processes(), r.PID)
}

// owns reports whether pid is of the user of the service, or of ours as a keeper that has not
// given its rights up.
func (r record) owns(pid int) bool {
	uid, gid, err := owner(pid)
	return err == nil && (uid == r.UID && gid == r.GID || uid == uint32(os.Geteuid()) && gid == uint32(os.Getegid()))
}

// living is alive for a record of this boot.
func (r record) living() bool {
	s, err := procfs.Read(r.PID)
	return err == nil && s.Start == r.Start && !s.Dead()
}
