package pipeline

import (
	"errors"
	"testing"
	"time"

	"overland/internal/appfile"
	"overland/internal/digest"
	"overland/internal/fsx"
	"overland/internal/testkit/crash"
)

// What was remembered when the process is killed is whole or not there, at every step of it.
func TestAMemorySurvivesAKill(t *testing.T) {
	in := must(t, one(appfile.Step{Run: []string{"sh"}}))[0].Inputs
	blobs := func(digest.Digest) (int64, error) { return 7, nil }
	memory := func(dir string, f fsx.FS) *disk { return &disk{dir: dir, owner: "o", fs: f, size: blobs} }
	result := func(took float64) Result {
		return Result{Inputs: in, Took: took, Ended: time.Unix(1, 0).UTC(), Kept: []Kept{{Path: "a", Digest: digest.Of(nil), Size: 7}}}
	}
	crash.Stop(t, crash.Scenario{
		Prepare: func(t testing.TB, dir string) {
			if err := memory(dir, fsx.FS{}).passed(in.key(), result(1)); err != nil {
				t.Fatal(err)
			}
		},
		Run: func(dir string, f fsx.FS) error {
			m := memory(dir, f)
			m.ended("ci", "s", in, true, false)
			return m.passed(in.key(), result(2))
		},
		Check: func(t testing.TB, dir string, completed bool) {
			m := memory(dir, fsx.FS{})
			got, ok := m.Passed(in.key())
			if !ok || got.Took != 2 && (completed || got.Took != 1) {
				t.Errorf("after it was killed: %+v, %v; completed %v", got, ok, completed)
			}
			if l, ok := m.Last("ci", "s"); completed && (!ok || !l.Failed || l.Runs != 1) {
				t.Errorf("the last time: %+v", l)
			}
			m.size = func(digest.Digest) (int64, error) { return 0, errors.New("collected") }
			if _, ok := m.Passed(in.key()); ok {
				t.Error("a result whose file is gone is remembered")
			}
		},
	})
	// A record that lies under another key is not that one's.
	m := memory(t.TempDir(), fsx.FS{})
	if err := m.passed(digest.Of([]byte("x")), result(1)); err != nil {
		t.Fatal(err)
	}
	if _, ok := m.Passed(digest.Of([]byte("x"))); ok {
		t.Error("a record counts under a key that is not its own")
	}
}
