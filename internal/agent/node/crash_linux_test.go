package node_test

import (
	"errors"
	"testing"
	"time"

	"overland/internal/agent/node"
	"overland/internal/fsx"
	"overland/internal/testkit/crash"
)

// scenario goes from generation 1 (r1) of channel live to generation 2 (r2) of staging; good says
// whether r2 proves itself.
func scenario(good bool) crash.Scenario {
	return crash.Scenario{
		Prepare: func(t testing.TB, dir string) {
			n := open(t, dir, node.Options{})
			must(t, n.Follow(node.Settings{Channel: "live"}))
			install(t, n, "r1")
			must(t, n.Close())
		},
		Run: func(dir string, f fsx.FS) (err error) {
			n, err := node.Open(dir, node.Options{FS: f})
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, n.Close()) }()
			number, err := n.Stage(generation("r2"), placer(f, "r2"))
			if err != nil {
				return err
			}
			n.LoadConfig()
			if err := n.BeginFollowing(number, time.Minute, "install", node.Settings{Channel: "staging"}); err != nil {
				return err
			}
			if err := n.Try(); err != nil {
				return err
			}
			if good {
				err = n.Good()
			} else if err = n.Fail(node.Verdict{Reason: "bad"}); err == nil {
				err = n.Back()
			}
			if err != nil {
				return err
			}
			_, err = n.Collect()
			return err
		},
		Check: func(t testing.TB, dir string, completed bool) { check(t, dir, completed, good) },
	}
}

// check opens what is left: it is r1 or r2, whole, and the switch can be brought to its end.
func check(t testing.TB, dir string, completed, good bool) {
	t.Helper()
	n := open(t, dir, node.Options{})
	defer n.Close()
	n.LoadConfig()
	if p := n.Damage(); len(p) > 0 {
		t.Errorf("a crash is reported as damage: %v", p)
	}
	st := n.State()
	if st.Good != 1 && st.Good != 2 {
		t.Errorf("good is %d", st.Good)
	}
	want := map[int]string{1: "r1", 2: "r2"}[st.Want()]
	if got := running(t, dir); got != want || got == "" {
		t.Errorf("current runs %q, the state says %q", got, want)
	}
	if completed && (st.Intent != nil || (st.Current == 2) != good) {
		t.Errorf("the completed scenario left %+v", st)
	}
	if i := st.Intent; i != nil {
		switch err := n.Try(); {
		case err == nil && good:
			must(t, n.Good())
		case err == nil:
			must(t, n.Fail(node.Verdict{Reason: "bad"}))
			must(t, n.Back())
		case errors.Is(err, node.ErrExhausted):
			must(t, n.Back())
		default:
			t.Errorf("try: %v", err)
		}
	}
	st = n.State()
	follows := map[int]string{1: "live", 2: "staging"}[st.Current]
	n.LoadConfig() // as the next agent does
	if got := n.State().Settings.Channel; st.Settings.Channel != follows || got != follows {
		t.Errorf("generation %d follows %s, and %s when config.json is read again", st.Current, st.Settings.Channel, got)
	}
	if _, err := n.Collect(); err != nil {
		t.Error(err)
	}
	next := install(t, n, "r3")
	if got := running(t, dir); got != "r3" {
		t.Errorf("after generation %d current runs %q", next, got)
	}
}

func TestEveryStop(t *testing.T) {
	t.Run("good", func(t *testing.T) { crash.Stop(t, scenario(true)) })
	t.Run("bad", func(t *testing.T) { crash.Stop(t, scenario(false)) })
	t.Run("first", func(t *testing.T) {
		s := scenario(true)
		s.Prepare = func(testing.TB, string) {}
		s.Check = func(t testing.TB, dir string, _ bool) {
			n := open(t, dir, node.Options{})
			defer n.Close()
			if i := n.State().Intent; i != nil {
				must(t, n.Try())
				must(t, n.Good())
			}
			install(t, n, "r3")
			if got := running(t, dir); got != "r3" {
				t.Errorf("current runs %q", got)
			}
		}
		crash.Stop(t, s)
	})
}

func TestEveryPowerCut(t *testing.T) {
	t.Run("good", func(t *testing.T) { crash.PowerCut(t, scenario(true), 16<<20) })
	t.Run("bad", func(t *testing.T) { crash.PowerCut(t, scenario(false), 16<<20) })
}
