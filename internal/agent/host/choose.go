package host

import (
	"cmp"
	"fmt"

	"overland/internal/errs"
	"overland/internal/nodeapi"
)

// choice is what the supervisor starts next.
type choice struct {
	slot  nodeapi.Slot
	trial *intent // nil: not a trial
}

// choose decides which version to start and makes the decision durable BEFORE it is started: a try
// is spent, or the switch is taken back. Whatever is unreadable ends at the last good version.
func (s Slots) choose() (choice, error) {
	if i, ok := s.readIntent(); ok {
		switch {
		case s.link("good") == i.To: // the power went between "good" and removing the intent
			return choice{slot: i.To}, s.commit(i.To)
		case i.Tries > 0 && s.runnable(i.To):
			i.Tries--
			if err := s.writeIntent(i); err != nil {
				return choice{}, fmt.Errorf("try agent %s: %w", i.To, err)
			}
			if err := s.FS.Symlink(string(i.To), s.path("current")); err != nil {
				return choice{}, fmt.Errorf("try agent %s: %w", i.To, err)
			}
			return choice{slot: i.To, trial: &i}, nil
		default:
			if err := s.takeBack(i); err != nil {
				return choice{}, err
			}
		}
	} else if s.hasIntent() {
		if err := s.FS.Remove(s.path("intent.json")); err != nil {
			return choice{}, err
		}
		if good := s.link("good"); s.runnable(good) {
			return choice{slot: good}, s.FS.Symlink(string(good), s.path("current"))
		}
	}
	for _, slot := range append([]nodeapi.Slot{s.link("current"), s.link("good")}, s.list()...) {
		if _, refused := s.refused(slot); !refused && s.runnable(slot) {
			if s.link("current") != slot {
				return choice{slot: slot}, s.FS.Symlink(string(slot), s.path("current"))
			}
			return choice{slot: slot}, nil
		}
	}
	return choice{}, errs.Hint(errs.Errorf(errs.NotFound, "no agent program in %s", s.path()),
		"install again from a volume: sh FILE install")
}

// takeBack ends a switch that failed: the new version is refused with its reason and the
// old one is current again. Each step can be repeated, so a power cut between two of
// them is mended by the next start.
func (s Slots) takeBack(i intent) error {
	if err := s.condemn(i); err != nil {
		return fmt.Errorf("take back agent %s: %w", i.To, err)
	}
	if err := s.FS.Symlink(string(i.From), s.path("current")); err != nil {
		return fmt.Errorf("take back agent %s: %w", i.To, err)
	}
	return s.FS.Remove(s.path("intent.json"))
}

// condemn refuses a version that used up its tries. One that was lost or cut short on the disk is
// only removed: it may be staged again.
func (s Slots) condemn(i intent) error {
	if _, refused := s.refused(i.To); !refused && i.Tries > 0 {
		return s.FS.RemoveAll(s.path(string(i.To)))
	}
	i.Reason = cmp.Or(i.Reason, "the machine or the supervisor stopped during every try")
	return s.refuse(nodeapi.RefusedVersion{Slot: i.To, Digest: i.Digest, Reason: i.Reason})
}

// commit ends a switch that succeeded: slot is good, and versions other than it
// and the one before are removed.
func (s Slots) commit(slot nodeapi.Slot) error {
	before := s.link("good")
	if before != slot {
		if err := s.FS.Symlink(string(slot), s.path("good")); err != nil {
			return fmt.Errorf("mark agent %s good: %w", slot, err)
		}
	}
	if err := s.FS.Symlink(string(slot), s.path("current")); err != nil {
		return fmt.Errorf("mark agent %s good: %w", slot, err)
	}
	i, known := s.readIntent()
	if err := s.FS.Remove(s.path("intent.json")); err != nil {
		return fmt.Errorf("mark agent %s good: %w", slot, err)
	}
	for _, old := range s.list() {
		if _, refused := s.refused(old); refused || old == slot || old == before || (known && old == i.From) {
			continue
		}
		if err := s.FS.RemoveAll(s.path(string(old))); err != nil {
			return fmt.Errorf("remove agent %s: %w", old, err)
		}
	}
	return nil
}
