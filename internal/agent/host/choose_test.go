package host

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/nodeapi"
)

var errPower = errors.New("the power went")

// cut returns an FS that does n operations and fails from then on, as a
// machine that loses power does.
func cut(n int, count *int) fsx.FS {
	return fsx.FS{Before: func(fsx.Op) error {
		*count++
		if *count > n {
			return errPower
		}
		return nil
	}}
}

// upgrade is a whole upgrade on file system fs: stage and arm, as the agent does; then two tries
// and the end, as the supervisor does.
func upgrade(t *testing.T, s Slots, program string, works bool) error {
	if _, err := s.Upgrade(t.Context(), digest.Of([]byte(NewProgram)), program); err != nil {
		return err
	}
	for {
		c, err := s.choose()
		if err != nil {
			return err
		}
		switch {
		case c.trial == nil:
			return nil
		case works:
			return s.commit(c.slot)
		}
		c.trial.Reason = "it does not work"
		if err := s.writeIntent(*c.trial); err != nil {
			return err
		}
	}
}

func TestPowerCutAtEveryStepOfAnUpgrade(t *testing.T) {
	for _, works := range []bool{true, false} {
		points := 0
		for n := 0; ; n++ {
			dir := t.TempDir()
			s := Slots{Dir: dir}
			old := StageScript(t, s, OldProgram)
			if _, err := s.First(old); err != nil {
				t.Fatal(err)
			}
			program := filepath.Join(dir, "from-the-depot")
			if err := os.WriteFile(program, []byte(NewProgram), 0o644); err != nil {
				t.Fatal(err)
			}
			next := SlotOf(digest.Of([]byte(NewProgram)))
			count := 0
			err := upgrade(t, Slots{Dir: dir, FS: cut(n, &count)}, program, works)
			if err != nil && !errors.Is(err, errPower) {
				t.Fatalf("after %d operations: %v", n, err)
			}

			c, cerr := s.choose()
			if cerr != nil {
				t.Fatalf("after %d operations: nothing can be started: %v", n, cerr)
			}
			if (c.slot != old && c.slot != next) || !s.runnable(c.slot) || s.damaged(c.slot) {
				t.Fatalf("after %d operations: chose %s", n, c.slot)
			}
			if got := s.link("current"); got != c.slot {
				t.Fatalf("after %d operations: started %s but current is %s", n, c.slot, got)
			}
			if c.slot == next && !works && c.trial == nil {
				t.Fatalf("after %d operations: a version that does not work is started for good", n)
			}
			if !s.runnable(s.link("good")) {
				t.Fatalf("after %d operations: good is %q", n, s.link("good"))
			}
			// The channel still names the new version, so the agent asks again: the
			// upgrade ends as it would have.
			uerr := upgrade(t, s, program, works)
			want := old
			if works {
				want = next
			} else if uerr != nil && errs.KindOf(uerr) != errs.Conflict {
				t.Fatalf("after %d operations: the upgrade cannot be repeated: %v", n, uerr)
			}
			if v := s.Versions(); v.Current != want || v.Good != want || v.Trying != "" {
				t.Fatalf("after %d operations and again: %+v, want %s", n, v, want)
			}
			points++
			if err == nil {
				break
			}
		}
		t.Logf("works=%v: %d points of power loss", works, points)
		if points < 20 {
			t.Errorf("only %d points: the hook sees too little", points)
		}
	}
}

func TestGarbageInStateEndsAtTheLastGoodVersion(t *testing.T) {
	long := strings.Repeat("x", 200<<10)
	for name, damage := range map[string]func(t *testing.T, s Slots, old, next nodeapi.Slot){
		"intent empty":    func(t *testing.T, s Slots, _, _ nodeapi.Slot) { put(t, s.path("intent.json"), "") },
		"intent garbage":  func(t *testing.T, s Slots, _, _ nodeapi.Slot) { put(t, s.path("intent.json"), "\x00\xff{") },
		"intent too long": func(t *testing.T, s Slots, _, _ nodeapi.Slot) { put(t, s.path("intent.json"), long) },
		"intent elsewhere": func(t *testing.T, s Slots, _, _ nodeapi.Slot) {
			put(t, s.path("intent.json"), `{"version":1,"to":"../../../../bin/sh","from":"x","tries":3}`)
		},
		"intent of nobody": func(t *testing.T, s Slots, old, _ nodeapi.Slot) {
			put(t, s.path("intent.json"), `{"version":1,"to":"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef","from":"`+string(old)+`","tries":3}`)
		},
		"intent is a directory": func(t *testing.T, s Slots, _, _ nodeapi.Slot) {
			if err := errors.Join(os.Remove(s.path("intent.json")), os.Mkdir(s.path("intent.json"), 0o755)); err != nil {
				t.Fatal(err)
			}
		},
		"new program cut short": func(t *testing.T, s Slots, _, next nodeapi.Slot) { put(t, s.path(string(next), Program), "") },
	} {
		t.Run(name, func(t *testing.T) {
			s := Slots{Dir: t.TempDir()}
			old, next := StageScript(t, s, OldProgram), StageScript(t, s, NewProgram)
			if _, err := s.First(old); err != nil {
				t.Fatal(err)
			}
			if _, err := s.Arm(next, Trial{}); err != nil {
				t.Fatal(err)
			}
			damage(t, s, old, next)
			c, err := s.choose()
			if err != nil || c.slot != old || c.trial != nil {
				t.Errorf("choose = %+v, %v; want %s for good", c, err, old)
			}
			if s.hasIntent() {
				t.Error("the damaged intent is still there")
			}
		})
	}
	for name, link := range map[string]string{"current": "current", "good": "good"} {
		for what, to := range map[string]string{"missing": "", "dangling": "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", "elsewhere": "../../etc"} {
			t.Run(name+" "+what, func(t *testing.T) {
				s := Slots{Dir: t.TempDir()}
				old := StageScript(t, s, OldProgram)
				if _, err := s.First(old); err != nil {
					t.Fatal(err)
				}
				if err := os.Remove(s.path(link)); err != nil {
					t.Fatal(err)
				}
				if to != "" {
					if err := os.Symlink(to, s.path(link)); err != nil {
						t.Fatal(err)
					}
				}
				if c, err := s.choose(); err != nil || c.slot != old || s.link("current") != old {
					t.Errorf("choose = %+v, %v, current %s; want %s", c, err, s.link("current"), old)
				}
			})
		}
	}
}

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestNoProgramSaysWhatToDo(t *testing.T) {
	_, err := Slots{Dir: t.TempDir()}.choose()
	if errs.KindOf(err) != errs.NotFound || !strings.Contains(errs.HintOf(err), "install") {
		t.Errorf("choose = %v, hint %q", err, errs.HintOf(err))
	}
}
