package agent_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"overland/internal/agent/follow"
	"overland/internal/agent/stage"
	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/nodeapi"
	"overland/internal/release"
	"overland/internal/store"
	"overland/internal/testkit/publisher"
	"overland/internal/trust"
	"overland/internal/volume"
)

func TestNothingIsPinnedSilently(t *testing.T) {
	w := newWorld(t)
	path := w.wallet(v1, "up one")
	_, err := w.install(path, nodeapi.InstallOptions{})
	if errs.KindOf(err) != errs.Untrusted || !errors.Is(err, trust.ErrNotPinned) || !strings.Contains(errs.HintOf(err), "--root") {
		t.Errorf("without a root: %v", err)
	}
	_, err = w.install(path, nodeapi.InstallOptions{Root: digest.Of([]byte("another")).String()})
	if errs.KindOf(err) != errs.Untrusted {
		t.Errorf("with another root: %v", err)
	}
	w.untouched()
	src, done, err := follow.OpenSource(path)
	must(t, err)
	defer done()
	if fp, err := stage.OfferedRoot(context.Background(), src); err != nil || string(fp) != w.Root() {
		t.Errorf("offered root %s, %v", fp, err)
	}
	w.mustInstall(path)
	_, err = w.install(path, nodeapi.InstallOptions{Root: digest.Of([]byte("another")).String()})
	if errs.KindOf(err) != errs.Untrusted {
		t.Errorf("another root on a pinned node: %v", err)
	}
	w.runs("wallet.node: up one")
}

// untouched fails when anything was written outside the depot and the trust files, or anything ran.
func (w *world) untouched() {
	w.t.Helper()
	for path := range tree(w.t, w.dir) {
		top, _, _ := strings.Cut(path, "/")
		if !slices.Contains([]string{".", "depot", "trust", "gen", "lock", "state.a", "state.b"}, top) || strings.HasPrefix(path, "gen/") {
			w.t.Errorf("%s was written", path)
		}
	}
	w.calls()
}

// forge seals a volume of live whose wallet program is evil, with every digest from there up
// computed again and the signed metadata left as it is.
func (w *world) forge(t *testing.T) string {
	t.Helper()
	w.wallet(v1, "up one")
	evil := publisher.New(t, t.TempDir(), nil)
	evil.Release("wallet", v1, map[string]string{"node": "up evil"}, services(quick))
	evil.Promote("live", "wallet", v1)
	c := evil.Content("live")
	c.Trust = w.Content("live").Trust
	path := filepath.Join(t.TempDir(), "forged.volume")
	_, err := volume.Seal(context.Background(), path, c, volume.Options{})
	must(t, err)
	return path
}

func TestForgedPayloadWithEveryDigestRecomputed(t *testing.T) {
	w := newWorld(t)
	path := w.forge(t)
	_, err := w.install(path, nodeapi.InstallOptions{Root: w.Root(), Channel: "live"})
	if errs.KindOf(err) != errs.Untrusted {
		t.Errorf("forged: %v (%s), want untrusted", err, errs.KindOf(err))
	}
	w.untouched()
}

// Something is put into the volume that this machine would not run: nobody signed it.
func TestPayloadThatNobodySigned(t *testing.T) {
	w := newWorld(t)
	w.wallet(v1, "up one")
	c := w.Content("live")
	evil := []byte("for another machine")
	d, open := digest.Of(evil), c.Open
	c.Blobs = append(c.Blobs, ocispec.Descriptor{Digest: d, Size: int64(len(evil))})
	c.Open = func(want digest.Digest) (io.ReadCloser, error) {
		if want == d {
			return io.NopCloser(bytes.NewReader(evil)), nil
		}
		return open(want)
	}
	path := filepath.Join(t.TempDir(), "forged.volume")
	_, err := volume.Seal(context.Background(), path, c, volume.Options{})
	must(t, err)
	_, err = w.install(path, nodeapi.InstallOptions{Root: w.Root(), Channel: "live"})
	if errs.KindOf(err) != errs.Untrusted || !strings.Contains(err.Error(), d.Encoded()) {
		t.Errorf("unsigned payload: %v (%s), want untrusted", err, errs.KindOf(err))
	}
	w.untouched()
}

// A volume may hold what its releases were built from: all of it. A node takes nothing of that.
func TestInputsAreNotForNodes(t *testing.T) {
	w := newWorld(t)
	put := func(text string) ocispec.Descriptor {
		d, err := store.PutBytes(t.Context(), w.Depot, []byte(text))
		must(t, err)
		return ocispec.Descriptor{Digest: d, Size: int64(len(text))}
	}
	in := release.Inputs{Lock: put("lock"), Source: put("source"), Blobs: []ocispec.Descriptor{put("input")}}
	desc, err := release.WriteInputs(t.Context(), w.Depot, release.Ref{App: "wallet", Version: v1}, in)
	must(t, err)
	w.Inputs = &desc
	w.wallet(v1, "up one")
	seal := func(blobs ...ocispec.Descriptor) string {
		c := w.Content("live")
		c.Blobs = append(c.Blobs, blobs...)
		path := filepath.Join(t.TempDir(), "inputs.volume")
		_, err := volume.Seal(context.Background(), path, c, volume.Options{})
		must(t, err)
		return path
	}
	for name, blobs := range map[string][]ocispec.Descriptor{
		"without the list": {in.Lock, in.Source, in.Blobs[0]},
		"one less":         {desc, in.Lock, in.Source},
		"one more":         {desc, in.Lock, in.Source, in.Blobs[0], put("more")},
	} {
		if _, err := w.install(seal(blobs...), nodeapi.InstallOptions{Root: w.Root(), Channel: "live"}); errs.KindOf(err) != errs.Untrusted {
			t.Errorf("%s: %v (%s), want untrusted", name, err, errs.KindOf(err))
		}
		w.untouched()
	}
	w.mustInstall(seal(desc, in.Lock, in.Source, in.Blobs[0]))
	w.runs("wallet.node: up one")
	for _, b := range []ocispec.Descriptor{desc, in.Lock, in.Source, in.Blobs[0]} {
		if _, err := os.Stat(filepath.Join(w.dir, "depot", "blobs", "sha256", b.Digest.Encoded())); err == nil {
			t.Errorf("the node took %s", b.Digest)
		}
	}
}

func TestForgedVolumeWithItsOwnKeys(t *testing.T) {
	w := newWorld(t)
	one := w.wallet(v1, "up one")
	other := newWorld(t)
	evil := other.wallet(v2, "up evil")
	if _, err := w.install(evil, nodeapi.InstallOptions{Root: w.Root(), Channel: "live"}); errs.KindOf(err) != errs.Untrusted {
		t.Errorf("on a new node: %v", err)
	}
	w.untouched()
	w.mustInstall(one)
	w.Calls()
	if _, err := w.install(evil, nodeapi.InstallOptions{}); errs.KindOf(err) != errs.Untrusted {
		t.Errorf("on a node that runs: %v", err)
	}
	w.calls()
	w.runs("wallet.node: up one")
}

func TestOlderVolumeIsRefused(t *testing.T) {
	w := newWorld(t)
	one := w.wallet(v1, "up one")
	w.mustInstall(w.wallet(v2, "up two"))
	w.Calls()
	if _, err := w.install(one, nodeapi.InstallOptions{}); errs.KindOf(err) != errs.Untrusted || !errors.Is(err, trust.ErrRollback) {
		t.Errorf("older volume: %v", err)
	}
	w.calls()
	w.runs("wallet.node: up two")
}

// A newer file that is refused for its damaged content has said what is newest, signed: the older file of what runs
// is a rollback from then on. What runs goes on, and the newer file installs once it is whole.
func TestAfterADamagedNewerFile(t *testing.T) {
	w := newWorld(t)
	one := w.wallet(v1, "up one")
	w.mustInstall(one)
	two := w.wallet(v2, "up two")
	b, err := os.ReadFile(two)
	must(t, err)
	bad := filepath.Join(t.TempDir(), "bad.volume")
	refuse := func(damaged []byte) {
		t.Helper()
		must(t, os.WriteFile(bad, damaged, 0o644))
		if _, err := w.install(bad, nodeapi.InstallOptions{}); errs.KindOf(err) != errs.Untrusted {
			t.Errorf("a damaged file: %v", err)
		}
		w.runs("wallet.node: up one")
	}
	refuse(b[:len(b)/2]) // nothing of it can be read
	if r, err := w.install(one, nodeapi.InstallOptions{}); err != nil || r.Outcome != nodeapi.Unchanged {
		t.Errorf("the file of what runs: %+v, %v", r, err)
	}
	refuse(bytes.Replace(b, []byte("up two"), []byte("up six"), 1))
	if _, err := w.install(one, nodeapi.InstallOptions{}); !errors.Is(err, trust.ErrRollback) {
		t.Errorf("an older file: %v", err)
	}
	w.runs("wallet.node: up one")
	w.mustInstall(two)
	w.runs("wallet.node: up two")
}

func TestMissingPartIsRefused(t *testing.T) {
	w := newWorld(t)
	w.Release("wallet", v1, map[string]string{"node": "up one" + strings.Repeat(" padding", 10000)}, services(quick))
	w.Promote("live", "wallet", v1)
	path := filepath.Join(t.TempDir(), "big.volume")
	info, err := volume.Seal(context.Background(), path, w.Content("live"), volume.Options{Split: 40000})
	must(t, err)
	if len(info.Paths) < 2 {
		t.Fatalf("parts: %v", info.Paths)
	}
	must(t, os.Remove(info.Paths[1]))
	_, err = w.install(info.Paths[0], nodeapi.InstallOptions{Root: w.Root(), Channel: "live"})
	if errs.KindOf(err) != errs.Untrusted || !strings.Contains(err.Error(), info.Paths[1]) {
		t.Errorf("without a part: %v (%s)", err, errs.KindOf(err))
	}
	w.untouched()
}

// A flipped byte anywhere is refused, also in what only another machine would run.
func TestFlippedBytes(t *testing.T) {
	w := newWorld(t)
	path := w.wallet(v1, "up one")
	whole, err := os.ReadFile(path)
	must(t, err)
	for at := len(whole) - 1; at > 0; at -= 1 + len(whole)/60 {
		b := slices.Clone(whole)
		b[at] ^= 0x10
		bad := filepath.Join(t.TempDir(), "flipped.volume")
		must(t, os.WriteFile(bad, b, 0o644))
		w.dir = filepath.Join(t.TempDir(), "node")
		if _, err := w.install(bad, nodeapi.InstallOptions{Root: w.Root(), Channel: "live"}); errs.KindOf(err) != errs.Untrusted {
			t.Errorf("byte %d: %v (%s), want untrusted", at, err, errs.KindOf(err))
		}
		w.untouched()
	}
}

// The program in front is checked by an agent that is there already, also when all else is what
// runs here: the bearer of a file cannot leave a payload in it for the next machine.
func TestS8AnAgentRefusesAChangedProgram(t *testing.T) {
	w := newWorld(t)
	path := w.wallet(v1, "up one")
	w.mustInstall(path)
	b, err := os.ReadFile(path)
	must(t, err)
	bad := filepath.Join(t.TempDir(), "bad.volume")
	must(t, os.WriteFile(bad, bytes.Replace(b, []byte("trap - EXIT"), []byte("echo OWNED;"), 1), 0o644))
	if _, err := w.install(bad, nodeapi.InstallOptions{}); errs.KindOf(err) != errs.Untrusted || !strings.Contains(err.Error(), "the program in front") {
		t.Errorf("a changed program: %v", err)
	}
	// And so is a damaged file of the version that runs: it is not "unchanged".
	must(t, os.WriteFile(bad, bytes.Replace(b, []byte("up one"), []byte("up two"), 1), 0o644))
	if _, err := w.install(bad, nodeapi.InstallOptions{}); errs.KindOf(err) != errs.Untrusted {
		t.Errorf("a damaged program: %v", err)
	}
	w.runs("wallet.node: up one")
}
