package doctor_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"overland/internal/fsx"
	"overland/internal/trust"
	"overland/internal/trust/doctor"
	"overland/internal/trust/keys"
	"overland/internal/trust/repository"
)

// patient is a site directory to look at.
type patient struct {
	t    *testing.T
	dir  string
	keys *keys.Dir
	repo *repository.Repository
	now  time.Time
}

func newPatient(t *testing.T, o keys.Options) *patient {
	t.Helper()
	p := &patient{t: t, dir: t.TempDir(), now: time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)}
	o.Work = 10
	var err error
	if p.keys, err = keys.Open(filepath.Join(p.dir, "keys"), o); err != nil {
		t.Fatal(err)
	}
	p.repo, err = repository.Init(t.Context(), repository.Dir(filepath.Join(p.dir, "trust"), fsx.FS{}), p.keys,
		repository.InitOptions{Options: repository.Options{Clock: func() time.Time { return p.now }}})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// weak returns what is weak, and notes what is only noted.
func (p *patient) weak() (weak, notes []string) {
	p.t.Helper()
	f := doctor.Facts{Now: p.now}
	var err error
	if f.Files, f.Folders, err = p.keys.Files(); err != nil {
		p.t.Fatal(err)
	}
	if f.Info, err = p.repo.Show(p.t.Context()); err != nil {
		p.t.Fatal(err)
	}
	for _, x := range doctor.Examine(f) {
		if x.Remedy == "" || x.What == "" {
			p.t.Errorf("%+v: no remedy", x)
		}
		line := fmt.Sprintf("%s: %s", filepath.Base(x.About), x.What)
		if x.Level == doctor.Weak {
			weak = append(weak, line)
		} else {
			notes = append(notes, line)
		}
	}
	return weak, notes
}

// finds demands a weak thing that begins with about and says what.
func (p *patient) finds(about, what string) {
	p.t.Helper()
	weak, _ := p.weak()
	if !slices.ContainsFunc(weak, func(s string) bool { return strings.HasPrefix(s, about+": ") && strings.Contains(s, what) }) {
		p.t.Errorf("%q; want %s: … %s …", weak, about, what)
	}
}

// locked is an operator who gives every key but the online one a passphrase.
func locked(name string) ([]byte, error) {
	if name == repository.KeyOnline {
		return []byte{}, nil
	}
	return []byte("secret"), nil
}

// What is made as it is meant to be has nothing weak.
func TestAHealthySite(t *testing.T) {
	p := newPatient(t, keys.Options{Root: filepath.Join(t.TempDir(), "stick"), Asks: keys.Asks{NewPassphrase: locked}})
	weak, notes := p.weak()
	if len(weak) > 0 || len(notes) != 1 || !strings.Contains(notes[0], "one root key") {
		t.Errorf("weak %q, notes %q", weak, notes)
	}
	near := newPatient(t, keys.Options{Asks: keys.Asks{NewPassphrase: locked}})
	near.finds("root.key", "beside the online key")
}

func TestTheRootKeyOnTheSameMachineIsNoted(t *testing.T) {
	dir := t.TempDir()
	k, err := keys.Open(filepath.Join(dir, "keys"), keys.Options{Root: filepath.Join(dir, "keys", "root"), Work: 10, Asks: keys.Asks{NewPassphrase: locked}})
	if err != nil {
		t.Fatal(err)
	}
	p := &patient{t: t, dir: dir, keys: k, now: time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)}
	p.repo, err = repository.Init(t.Context(), repository.Dir(filepath.Join(dir, "trust"), fsx.FS{}), k,
		repository.InitOptions{Options: repository.Options{Clock: func() time.Time { return p.now }}})
	if err != nil {
		t.Fatal(err)
	}
	if weak, notes := p.weak(); len(weak) > 0 || len(notes) != 2 {
		t.Errorf("weak %q, notes %q", weak, notes)
	}
}

func TestKeysInTheClear(t *testing.T) {
	p := newPatient(t, keys.Options{})
	p.finds("root.key", "not encrypted")
	p.finds("targets.key", "not encrypted")
	weak, _ := p.weak()
	if slices.ContainsFunc(weak, func(s string) bool { return strings.HasPrefix(s, "online.key") }) {
		t.Errorf("a site signs with the online key alone: %q", weak)
	}
	old := filepath.Join(p.dir, "keys", "retired")
	if err := os.Mkdir(old, 0o700); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(p.dir, "keys", "root.key"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(old, "root-0123.key"), b, 0o600); err != nil {
		t.Fatal(err)
	}
	p.finds("root-0123.key", "rotated away")
}

func TestModes(t *testing.T) {
	p := newPatient(t, keys.Options{Asks: keys.Asks{NewPassphrase: locked}})
	dir := filepath.Join(p.dir, "keys")
	for path, mode := range map[string]os.FileMode{dir: 0o750, filepath.Join(dir, "online.key"): 0o640} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	f := doctor.Facts{Now: p.now}
	var err error
	if f.Files, f.Folders, err = p.keys.Files(); err != nil {
		t.Fatal(err)
	}
	var about []string
	for _, x := range doctor.Examine(f) {
		about = append(about, filepath.Base(x.About))
	}
	if want := []string{"keys", "online.key"}; !slices.Equal(about, want) {
		t.Errorf("%q, want %q", about, want)
	}
}

func TestExpiry(t *testing.T) {
	p := newPatient(t, keys.Options{Asks: keys.Asks{NewPassphrase: locked}})
	p.now = p.now.AddDate(0, 0, 12)
	p.finds("timestamp", "expires soon")
	p.now = p.now.AddDate(0, 0, 3)
	p.finds("timestamp", "expired")
	p.now = p.now.AddDate(0, 11, 0)
	p.finds("targets", "expires soon")
}

// A channel that people answer for is not moved by one of them, by a machine, or by one who has both keys.
func TestProtectedChannels(t *testing.T) {
	p := newPatient(t, keys.Options{Asks: keys.Asks{NewPassphrase: locked}})
	key := func(name, passphrase string) trust.PublicKey {
		pub, err := p.keys.New(name, []byte(passphrase))
		if err != nil {
			t.Fatal(err)
		}
		return pub
	}
	add := func(role string, pub trust.PublicKey, threshold int) {
		if err := p.repo.AddSigner(t.Context(), role, pub, threshold); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.repo.SetTargets(t.Context(), "channel/free", func(trust.Signed, map[string]trust.TargetFile) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if weak, _ := p.weak(); slices.ContainsFunc(weak, func(s string) bool { return strings.Contains(s, "free") }) {
		t.Errorf("a channel of this machine alone: %q", weak)
	}
	add("channel/one", key("ann", "s"), 0)
	p.finds("one", "moves it alone")
	online, err := p.keys.Public(repository.KeyOnline)
	if err != nil {
		t.Fatal(err)
	}
	add("channel/two", key("ben", ""), 0)
	add("channel/two", online, 0)
	p.finds("two", "machine's key online")
	p.finds("online.key", "also signs for channel/two")
	add("channel/three", key("cem", ""), 0)
	add("channel/three", key("dan", ""), 2)
	p.finds("three", "cem and dan are all on this machine")
}
