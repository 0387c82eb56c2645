// Package doctor says what is weak in an operator's keys and signed metadata, and what to do about it:
// a root key beside online ones, keys in the clear, thresholds that one machine meets alone, expiry.
//
// It changes nothing and asks for no passphrase. Failure guarded: a weakness that nobody is told of
// until a thief finds it.
package doctor

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"overland/internal/trust"
	"overland/internal/trust/keys"
	"overland/internal/trust/repository"
)

// Level is how much a Finding matters.
type Level string

// The levels of a Finding.
const (
	Weak Level = "weak" // a person should act
	Note Level = "note" // good to know; a small operator may live with it
)

// Finding is one thing that could be better.
type Finding struct {
	Level  Level  `json:"level"`
	About  string `json:"about"` // a role, a key or a file
	What   string `json:"what"`
	Remedy string `json:"remedy"` // the next command, or what to do
}

// Facts are what is looked at.
type Facts struct {
	Files   []keys.File
	Folders []keys.Folder
	Info    *repository.Info // nil: nothing is signed yet
	Now     time.Time

	Returned []Returned // channels that stand on their fallback
}

// Returned is an application that one signer returned to the fallback of a channel.
type Returned struct {
	Role string // of the channel
	What string // a sentence
}

// How long before its expiry something is reported.
const (
	soon       = 30 * 24 * time.Hour // what people sign
	soonOnline = 4 * 24 * time.Hour  // what a site renews by itself
)

// Examine returns what is weak, the weak things first.
func Examine(f Facts) []Finding {
	e := &exam{Facts: f}
	e.modes()
	e.passphrases()
	if f.Info != nil {
		e.rootApart()
		for _, r := range f.Info.Roles {
			e.expiry(r)
			e.thresholds(r)
			e.persons(r)
			e.fallback(r)
		}
		for _, r := range e.Returned {
			e.add(Note, r.Role, "overland promote, signed by as many as the channel asks for, ends that", "%s", r.What)
		}
	}
	slices.SortStableFunc(e.out, func(a, b Finding) int {
		return cmp.Compare(b.Level, a.Level) // "weak" is after "note"
	})
	return e.out
}

// exam is one Examine under way.
type exam struct {
	Facts
	out []Finding
}

func (e *exam) add(l Level, about, remedy, what string, args ...any) {
	e.out = append(e.out, Finding{Level: l, About: about, What: fmt.Sprintf(what, args...), Remedy: remedy})
}

func (e *exam) modes() {
	for _, d := range e.Folders {
		if d.Mode&0o077 != 0 {
			e.add(Weak, d.Path, "chmod 700 "+d.Path, "the folder has mode %04o: others can enter it", d.Mode)
		}
	}
	for _, f := range e.Files {
		if f.Mode&0o077 != 0 {
			e.add(Weak, f.Path, fmt.Sprintf("if nobody has read it: chmod 600 %s; otherwise overland key rotate %s", f.Path, f.Name),
				"the private key has mode %04o: others can read it", f.Mode)
		}
	}
}

func (e *exam) passphrases() {
	online := e.ids("timestamp", "snapshot")
	for _, f := range e.Files {
		switch {
		case f.Locked:
		case f.Retired:
			e.add(Weak, f.Path, "rm "+f.Path, "a key that was rotated away lies there in the clear")
		case e.Info == nil && f.Name == repository.KeyOnline:
		case slices.Contains(online, f.ID):
			if others := e.signs(f.ID, "timestamp", "snapshot"); len(others) > 0 {
				e.add(Weak, f.Path, "overland key new NAME, overland trust add-signer for it, then remove-signer "+f.Name,
					"the online key, which has no passphrase, also signs for %s", strings.Join(others, ", "))
			}
		default:
			e.add(Weak, f.Path, "overland key passphrase "+f.Name, "the private key is not encrypted")
		}
	}
}

// rootApart looks for root keys on the machine that signs every day.
func (e *exam) rootApart() {
	root := e.ids("root")
	online := e.ids("timestamp", "snapshot")
	var folders []string
	for _, f := range e.Files {
		if slices.Contains(online, f.ID) {
			folders = append(folders, filepath.Dir(f.Path))
		}
	}
	for _, f := range e.Files {
		if f.Retired || !slices.Contains(root, f.ID) {
			continue
		}
		dir := filepath.Dir(f.Path)
		switch {
		case slices.Contains(folders, dir):
			to := filepath.Join(dir, "root")
			e.add(Weak, f.Path, fmt.Sprintf("mkdir -m 700 %s; mv %s %s; then carry that folder away", to, f.Path, to), "a root key lies beside the online key")
		case slices.Contains(folders, filepath.Dir(dir)):
			e.add(Note, f.Path, "move the folder to a medium that lies elsewhere, with a copy; --root-keys names it when root changes",
				"a root key is on the machine with the online key")
		}
	}
	if len(root) == 1 {
		e.add(Note, "root", "overland key new root2 --root; overland trust add-signer root root2; better 2 of 3, held by different people",
			"there is one root key: when it is lost, every node must be told of a new root by hand")
	}
}

func (e *exam) expiry(r repository.RoleInfo) {
	if r.Version == 0 {
		return
	}
	left, when := r.Expires.Sub(e.Now), r.Expires.UTC().Format("2006-01-02 15:04 UTC")
	limit, remedy := soon, "overland trust refresh, where the keys of "+r.Role+" are"
	if r.Role == "timestamp" || r.Role == "snapshot" {
		limit, remedy = soonOnline, "overland trust refresh, or a running site, where the online key is"
	}
	switch {
	case left < 0:
		e.add(Weak, r.Role, remedy, "it expired at %s: nodes refuse it", when)
	case left < limit:
		e.add(Weak, r.Role, remedy, "it expires soon, at %s", when)
	}
}

// thresholds looks at channels that several people answer for.
func (e *exam) thresholds(r repository.RoleInfo) {
	if !strings.HasPrefix(r.Role, "channel/") || !e.protected(r) {
		return
	}
	if r.Threshold == 1 {
		e.add(Weak, r.Role, fmt.Sprintf("overland trust add-signer %s KEY --threshold 2", r.Role), "any one of its %d signers moves it alone", len(r.Keys))
	}
	online := e.ids("timestamp", "snapshot")
	for _, k := range r.Keys {
		if k.Name == repository.KeyPromote || slices.Contains(online, k.ID) {
			e.add(Weak, r.Role, fmt.Sprintf("overland trust remove-signer %s %s", r.Role, k.Name), "the machine's key %s counts as a person", k.Name)
		}
	}
}

// fallback looks for a channel that nobody can return alone at night.
func (e *exam) fallback(r repository.RoleInfo) {
	name := trust.FallbackRole(r.Role)
	if name == "" || r.Threshold < 2 || slices.ContainsFunc(e.Info.Roles, func(f repository.RoleInfo) bool { return f.Role == name }) {
		return
	}
	e.add(Note, r.Role, fmt.Sprintf("overland trust add-signer %s KEY, with a key that signs already, makes %s", r.Role, name),
		"no one signer can return it to its fallback alone")
}

// protected reports whether people answer for the channel r, not this machine alone.
func (e *exam) protected(r repository.RoleInfo) bool {
	return r.Threshold > 1 || slices.ContainsFunc(r.Keys, func(k trust.KeyInfo) bool { return k.Name != repository.KeyPromote })
}

// persons looks for thresholds that one person, or one machine, meets alone.
func (e *exam) persons(r repository.RoleInfo) {
	if r.Threshold < 2 {
		return
	}
	var here []string
	for _, k := range r.Keys {
		if k.Private && !k.Locked {
			here = append(here, k.Name)
		}
	}
	if len(here) >= r.Threshold {
		e.add(Weak, r.Role, "each person keeps a key on a machine of their own, with a passphrase: overland key passphrase "+here[0],
			"%s are all on this machine, in the clear: one person signs as %d", strings.Join(here, " and "), len(here))
	}
}

// ids returns the key ids of roles.
func (e *exam) ids(roles ...string) []string {
	var out []string
	if e.Info == nil {
		return nil
	}
	for _, r := range e.Info.Roles {
		if slices.Contains(roles, r.Role) {
			for _, k := range r.Keys {
				out = append(out, k.ID)
			}
		}
	}
	return out
}

// signs returns the roles that the key id signs for, but for those in without.
func (e *exam) signs(id string, without ...string) []string {
	var out []string
	for _, r := range e.Info.Roles {
		if !slices.Contains(without, r.Role) && slices.ContainsFunc(r.Keys, func(k trust.KeyInfo) bool { return k.ID == id }) {
			out = append(out, r.Role)
		}
	}
	return out
}
