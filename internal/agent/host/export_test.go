package host

import (
	"os"
	"testing"

	"overland/internal/digest"
	"overland/internal/nodeapi"
)

// Two versions of an agent.
const (
	OldProgram = "#!/bin/sh\necho old\n"
	NewProgram = "#!/bin/sh\necho new\n"
)

// StageScript puts a script into its slot.
func StageScript(t *testing.T, s Slots, script string) nodeapi.Slot {
	t.Helper()
	if err := s.FS.Mkdir(s.path(), 0o755); err != nil {
		t.Fatal(err)
	}
	slot, err := s.Stage(t.Context(), digest.Of([]byte(script)), func(path string) error {
		return os.WriteFile(path, []byte(script), 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
	return slot
}

// ReadIntent returns the switch that is being tried.
func (s Slots) ReadIntent() (intent, bool) { return s.readIntent() }

// Refused returns why slot was taken back.
func (s Slots) Refused(slot nodeapi.Slot) (nodeapi.RefusedVersion, bool) { return s.refused(slot) }

// Runnable reports whether slot holds a program.
func (s Slots) Runnable(slot nodeapi.Slot) bool { return s.runnable(slot) }

// Marker is the first line of a service file that install made.
const Marker = marker

// SystemdUnit returns the unit of a node in dir.
func SystemdUnit(dir string) string { return systemd{}.file(dir).text }

// PlaceService places the service file and returns whether it was not right before.
func (h *Host) PlaceService() (bool, error) { return h.placeFile(h.manager().file(h.Dir)) }

// OwnsService reports whether the service file is in place and of this node.
func (h *Host) OwnsService() bool { return h.owns(h.manager().file(h.Dir)) }
