package process

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"overland/internal/digest"
	"overland/internal/fsx"
	"overland/internal/procfs"
	"overland/internal/runtime"
)

// runVar marks every process of a run. Its value is "<run id> <instance digest> <record path>".
const runVar = "OVERLAND_RUN"

// record is the record file: which process runs an instance. It is written twice, each time
// durably: before the fork without a process (PID 0), so that an orphan of the moment
// between is looked for, and after it.
type record struct {
	Schema   int           `json:"schema"` // 1
	Name     string        `json:"name"`
	Run      string        `json:"run"`      // id of the run, as in runVar
	Instance digest.Digest `json:"instance"` // runtime.Instance.Digest
	Program  string        `json:"program"`  // for people
	PID      int           `json:"pid"`      // 0 = about to be started
	Start    uint64        `json:"start"`    // kernel start time, clock ticks after boot
	Boot     string        `json:"boot"`     // boot id
	Since    time.Time     `json:"since"`
	LogStart int64         `json:"logStart"`
}

const recordLimit = 64 << 10

// newRecord returns the record of a run that is about to start.
func newRecord(i runtime.Instance, logStart int64) record {
	return record{
		Schema: 1, Name: i.Name, Run: rand.Text(), Instance: i.Digest(), Program: i.Program,
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
// marks of the processes tell then.
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
	if err := d.Decode(&r); err != nil || r.Schema != 1 || r.Run == "" || r.PID < 0 || r.PID == 1 || r.LogStart < 0 {
		return record{}, false
	}
	return r, true
}

// mark returns the value of runVar for the run of r recorded at path.
func (r record) mark(path string) string { return fmt.Sprintf("%s %s %s", r.Run, r.Instance, path) }

// parseMark takes a mark apart.
func parseMark(s string) (run string, instance digest.Digest, path string, ok bool) {
	f := strings.SplitN(s, " ", 3)
	if len(f) != 3 || f[0] == "" || f[2] == "" {
		return "", "", "", false
	}
	return f[0], digest.Digest(f[1]), f[2], true
}

// alive reports whether the process that r names lives: same boot, same start.
func (r record) alive() bool { return r.PID > 1 && r.Boot == bootID() && r.living() }

// living is alive for a record of this boot.
func (r record) living() bool {
	s, err := procfs.Read(r.PID)
	return err == nil && s.Start == r.Start && !s.Dead()
}
