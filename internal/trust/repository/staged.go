package repository

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/trust"
)

// Staged is a change that waits for more signatures.
type Staged struct {
	Role     string   `json:"role"`
	Version  int64    `json:"version"`
	SignedBy []string `json:"signedBy"` // key ids
	Have     int      `json:"have"`     // valid signatures
	Want     int      `json:"want"`
}

// ErrStaged is wrapped when a change waits for more signatures. Kind: partial.
var ErrStaged = errors.New("waits for more signatures")

const stagedDir = "staged" // below the repository: N.ROLE.json that lacks signatures

// settle signs the proposed changes with the keys that are here and publishes what then has enough signatures,
// together with staged changes that do. What does not is staged.
func (r *Repository) settle(s *state, now time.Time, proposed map[string]*trust.TargetsMetadata) error {
	waiting, err := r.stagedRoles(s)
	if err != nil {
		return err
	}
	for role, m := range proposed {
		if old := waiting[role]; old != nil && old != m {
			if !sameChange(old, m) {
				err := errs.Errorf(errs.Conflict, "another change of %s waits for signatures", role)
				return errs.Hint(err, "overland trust show lists it; overland trust sign %s approves it, "+
					"overland trust unstage %s drops it", role, role)
			}
			m = old
		}
		waiting[role] = m
	}
	after := s.with(waiting)
	for role := range proposed {
		ids, _ := after.signersOf(role)
		if _, err := sign(r.keys, waiting[role], ids); err != nil {
			return err
		}
	}
	var failed error
	for {
		ready := r.ready(s, waiting)
		if len(ready) == 0 {
			break
		}
		if failed = r.publish(s, now, ready, nil); failed != nil {
			break
		}
		for role, m := range ready {
			delete(waiting, role)
			if err := r.o.FS.Remove(r.stagedPath(role, m.Signed.Version)); err != nil {
				return err
			}
		}
		if s, err = r.load(); err != nil {
			return err
		}
	}
	if failed != nil && errs.KindOf(failed) != errs.Denied {
		return failed
	}
	var lacking []string
	for _, role := range slices.Sorted(maps.Keys(proposed)) {
		m := waiting[role]
		if m == nil {
			continue
		}
		if err := r.stage(role, m.Signed.Version, m); err != nil {
			return err
		}
		lacking = append(lacking, role)
	}
	if len(lacking) == 0 {
		return failed
	}
	if failed != nil {
		err := errs.Errorf(errs.Partial, "%s: signed here and %w: %w", strings.Join(lacking, ", "), ErrStaged, failed)
		return errs.Hint(err, "on the machine with the online key: overland trust refresh")
	}
	err = errs.Errorf(errs.Partial, "%s: %w", strings.Join(lacking, ", "), ErrStaged)
	return errs.Hint(err, "the other signers run: overland trust sign %s", strings.Join(lacking, "; overland trust sign "))
}

// ready returns which of the waiting changes may be published at once: all together, or one alone.
func (r *Repository) ready(s *state, waiting map[string]*trust.TargetsMetadata) map[string]*trust.TargetsMetadata {
	if len(waiting) == 0 {
		return nil
	}
	if s.with(waiting).holds() == nil {
		return maps.Clone(waiting)
	}
	top := waiting[metadata.TARGETS]
	for _, role := range slices.Sorted(maps.Keys(waiting)) {
		if role != metadata.TARGETS && top != nil && !sameJSON(trust.Delegation(s.top(), role), trust.Delegation(top, role)) {
			continue // signed for signers that are about to change: it goes out together with them
		}
		one := map[string]*trust.TargetsMetadata{role: waiting[role]}
		if s.with(one).holds() == nil {
			return one
		}
	}
	return nil
}

// sameChange reports whether a and b say the same, whoever signed them and when.
func sameChange(a, b *trust.TargetsMetadata) bool {
	return a.Signed.Version == b.Signed.Version && sameJSON(a.Signed.Targets, b.Signed.Targets) &&
		sameJSON(a.Signed.Delegations, b.Signed.Delegations)
}

func (r *Repository) stagedPath(role string, version int64) string {
	return r.path(stagedDir + "/" + trust.WireName(role, version))
}

func (r *Repository) stage(role string, version int64, m interface{ ToBytes(bool) ([]byte, error) }) error {
	if err := r.o.FS.Mkdir(r.path(stagedDir), 0o755); err != nil {
		return err
	}
	return r.write(stagedDir+"/"+trust.WireName(role, version), m)
}

// stagedRoles returns the changes of targets roles that wait, by role.
func (r *Repository) stagedRoles(s *state) (map[string]*trust.TargetsMetadata, error) {
	out := map[string]*trust.TargetsMetadata{}
	names := []string{metadata.TARGETS}
	if s.top().Signed.Delegations != nil {
		for _, d := range s.top().Signed.Delegations.Roles {
			names = append(names, d.Name)
		}
	}
	for i := 0; i < len(names); i++ {
		role := names[i]
		version := int64(1)
		if m := s.roles[role]; m != nil {
			version = m.Signed.Version + 1
		}
		b, err := fsx.ReadFile(r.stagedPath(role, version), trust.MaxTargets)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		m, err := trust.ParseTargets(b, role)
		if err != nil {
			return nil, errs.Hint(err, "overland trust unstage %s drops the damaged change", role)
		}
		if m.Signed.Version != version {
			return nil, errs.Errorf(errs.Invalid, "staged %s: version %d in the file of version %d", role, m.Signed.Version, version)
		}
		out[role] = m
		if role == metadata.TARGETS && m.Signed.Delegations != nil {
			for _, d := range m.Signed.Delegations.Roles {
				if !slices.Contains(names, d.Name) {
					names = append(names, d.Name)
				}
			}
		}
	}
	return out, nil
}

// Sign adds the signatures of this repository's keys to the staged change of role ("root", "targets", "channel/live"),
// and publishes it when they suffice. errs.NotFound when nothing is staged, errs.Partial when more are needed.
func (r *Repository) Sign(ctx context.Context, role string) error {
	if role == metadata.ROOT {
		return r.signRoot(ctx)
	}
	return r.edit(ctx, "sign "+role, func(s *state, _ time.Time) (map[string]*trust.TargetsMetadata, error) {
		waiting, err := r.stagedRoles(s)
		if err != nil {
			return nil, err
		}
		m := waiting[role]
		if m == nil {
			return nil, nothingStaged()
		}
		ids, _ := s.with(waiting).signersOf(role)
		added, err := sign(r.keys, m, ids)
		if err != nil {
			return nil, err
		}
		mine, err := r.haveOneOf(ids)
		if err != nil {
			return nil, err
		}
		if !mine {
			err := errs.Errorf(errs.Denied, "none of its signers' private keys is here")
			return nil, errs.Hint(err, "overland trust show lists the signers, overland key list the keys")
		}
		if added > 0 {
			// Kept before it is published: a signature is a person's work.
			if err := r.stage(role, m.Signed.Version, m); err != nil {
				return nil, err
			}
		}
		return map[string]*trust.TargetsMetadata{role: m}, nil
	})
}

// haveOneOf reports whether this machine can sign with one of the keys ids.
func (r *Repository) haveOneOf(ids []string) (bool, error) {
	for _, id := range ids {
		k, err := r.keys.ByID(id)
		if err != nil || k != nil {
			return k != nil, err
		}
	}
	return false, nil
}

func nothingStaged() error {
	return errs.Hint(errs.Errorf(errs.NotFound, "no change waits for signatures"), "overland trust show lists those that do")
}

// Unstage drops the staged change of role. errs.NotFound when nothing is staged.
func (r *Repository) Unstage(ctx context.Context, role string) error {
	unlock, err := r.lock(ctx)
	if err != nil {
		return fmt.Errorf("unstage %s: %w", role, err)
	}
	defer unlock()
	numbers, err := trust.VersionsIn(r.path(stagedDir), role)
	if err != nil {
		return fmt.Errorf("unstage %s: %w", role, err)
	}
	if len(numbers) == 0 {
		return fmt.Errorf("unstage %s: %w", role, nothingStaged())
	}
	for _, v := range numbers {
		if err := r.o.FS.Remove(r.stagedPath(role, v)); err != nil {
			return fmt.Errorf("unstage %s: %w", role, err)
		}
	}
	return nil
}
