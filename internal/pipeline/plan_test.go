package pipeline

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"overland/internal/appfile"
	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/source"
)

// recalled is a Memory in memory.
type recalled struct {
	results map[digest.Digest]Result
	lasts   map[string]Last
}

func (m recalled) Passed(key digest.Digest) (Result, bool) { r, ok := m.results[key]; return r, ok }
func (m recalled) Last(_, id string) (Last, bool)          { l, ok := m.lasts[id]; return l, ok }

func file(name, content string) source.File {
	return source.File{Path: name, Mode: "100644", Hash: digest.Of([]byte(content)).Encoded()}
}

// drawQuestion returns a pipeline without rings, over folders a, b and c and one artifact.
func drawQuestion(t *rapid.T) Question {
	q := Question{
		Name: "ci", Artifacts: map[string]digest.Digest{"app": rapid.SampledFrom([]digest.Digest{"", digest.Of([]byte("app"))}).Draw(t, "app")},
		Tree:   Tree{Owner: "o", Files: []source.File{file("a/x", "1"), file("ab", "1"), file("b/x", "1"), file("c/d/x", "1")}, Lock: "sha256:l"},
		Memory: recalled{map[digest.Digest]Result{}, map[string]Last{}}, Done: map[string]Result{}, Failed: map[string]bool{},
	}
	q.Pipeline.Steps = map[string]appfile.Step{}
	names := []string{"app"}
	for i := range rapid.IntRange(1, 6).Draw(t, "steps") {
		s := appfile.Step{Run: []string{"run", fmt.Sprint(i)}}
		s.Needs = rapid.SliceOfNDistinct(rapid.SampledFrom(names), 0, 2, rapid.ID).Draw(t, "needs")
		s.Paths = rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a", "b", "c/d/x", "c"}), 0, 2, rapid.ID).Draw(t, "paths")
		if rapid.Bool().Draw(t, "matrix") {
			s.Matrix = map[string][]string{"l": {"en", "de"}, "v": {"1"}}
		}
		name := fmt.Sprintf("s%d", rapid.IntRange(0, 1000).Draw(t, "name"))
		if _, taken := q.Pipeline.Steps[name]; taken {
			continue
		}
		q.Pipeline.Steps[name] = s
		names = append(names, name)
	}
	return q
}

func must(t interface{ Fatal(...any) }, q Question) []Step {
	list, err := Make(q)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// runAll runs what plans of q say until nothing is left to run, and remembers it.
func runAll(t *rapid.T, q Question) map[string]digest.Digest {
	m, _ := q.Memory.(recalled)
	keys := map[string]digest.Digest{}
	for range 100 {
		left := 0
		for _, s := range must(t, q) {
			if s.Key != "" {
				keys[s.ID] = s.Key
			}
			if s.State == Runs {
				left++
				m.results[s.Key] = Result{Inputs: s.Inputs, Ended: time.Unix(1, 0), Kept: []Kept{{Path: "out", Digest: s.Key}}}
				m.lasts[s.ID] = Last{Inputs: s.Inputs}
			}
		}
		if left == 0 {
			return keys
		}
	}
	t.Fatal("it never ends")
	return nil
}

// What a plan says holds for every pipeline: each step comes after what it needs, what has run is
// remembered and costs nothing, and only what a step sees decides its key.
func TestPlans(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q := drawQuestion(t)
		before := maps.Clone(q.Failed)
		seen := map[string]bool{}
		for _, s := range must(t, q) {
			for _, of := range s.Needs {
				if _, artifact := q.Artifacts[of]; !artifact && !seen[of] {
					t.Fatalf("%s comes before %s", s.ID, of)
				}
			}
			if path.Clean(s.ID) != s.ID || s.Why == "" {
				t.Fatalf("%+v", s)
			}
			seen[s.ID] = true
		}
		q.Artifacts["app"] = digest.Of([]byte("built"))
		keys := runAll(t, q)
		for _, s := range must(t, q) {
			if s.State != Remembered {
				t.Fatalf("%s %s: %s", s.ID, s.State, s.Why)
			}
		}
		// One file changes.
		i := rapid.IntRange(0, len(q.Tree.Files)-1).Draw(t, "file")
		other := q
		other.Tree.Files = slices.Clone(q.Tree.Files)
		other.Tree.Files[i] = file(q.Tree.Files[i].Path, "2")
		other.Memory = recalled{map[digest.Digest]Result{}, map[string]Last{}}
		changed := runAll(t, other)
		for _, s := range must(t, other) {
			if touched := touches(q, s.Name, q.Tree.Files[i].Path, s.Matrix); (changed[s.ID] != keys[s.ID]) != touched {
				t.Fatalf("%s after a change of %s: key changed %v, want %v", s.ID, q.Tree.Files[i].Path, !touched, touched)
			}
		}
		if !maps.Equal(before, q.Failed) {
			t.Fatal("a plan changed what it was asked with")
		}
	})
}

// touches reports whether a step of q sees the file name, or needs one that does: each keeps a file that
// differs with its key.
func touches(q Question, step, name string, _ appfile.Variant) bool {
	s := q.Pipeline.Steps[step]
	if len(s.Paths) == 0 {
		return true
	}
	for _, p := range s.Paths {
		if name == p || strings.HasPrefix(name, p+"/") {
			return true
		}
	}
	return slices.ContainsFunc(s.Needs, func(of string) bool {
		_, is := q.Pipeline.Steps[of]
		return is && touches(q, of, name, nil)
	})
}

func one(step appfile.Step) Question {
	return Question{
		Name: "ci", Pipeline: appfile.Pipeline{Steps: map[string]appfile.Step{"s": step}}, Artifacts: map[string]digest.Digest{"app": "sha256:1"},
		Tree: Tree{Owner: "o", Files: []source.File{file("a", "1"), file("b", "1")}, Lock: "sha256:l"}, Memory: recalled{},
	}
}

// All that decides how a step ends is in its key, and nothing else is.
func TestWhatDecidesAKey(t *testing.T) {
	key := func(change func(*Question, *appfile.Step)) digest.Digest {
		s := appfile.Step{Run: []string{"sh"}, Needs: []string{"app"}, Paths: []string{"a"}, Matrix: map[string][]string{"l": {"en"}}}
		q := one(s)
		change(&q, &s)
		q.Pipeline.Steps = map[string]appfile.Step{"s": s}
		return must(t, q)[0].Key
	}
	same := key(func(*Question, *appfile.Step) {})
	for name, change := range map[string]func(*Question, *appfile.Step){
		"another file": func(q *Question, _ *appfile.Step) { q.Tree.Files[1] = file("b", "2") },
		"timeout":      func(_ *Question, s *appfile.Step) { s.Timeout, s.Retry = 1, 2 },
		"pipeline":     func(q *Question, _ *appfile.Step) { q.Name = "other" },
	} {
		if key(change) != same {
			t.Errorf("%s: another key", name)
		}
	}
	for name, change := range map[string]func(*Question, *appfile.Step){
		"run":      func(_ *Question, s *appfile.Step) { s.Run = []string{"sh", "x"} },
		"file":     func(q *Question, _ *appfile.Step) { q.Tree.Files[0] = file("a", "2") },
		"mode":     func(q *Question, _ *appfile.Step) { q.Tree.Files[0].Mode = "100755" },
		"artifact": func(q *Question, _ *appfile.Step) { q.Artifacts["app"] = "sha256:2" },
		"value":    func(_ *Question, s *appfile.Step) { s.Matrix = map[string][]string{"l": {"de"}} },
		"lock":     func(q *Question, _ *appfile.Step) { q.Tree.Lock = "" },
		"owner":    func(q *Question, _ *appfile.Step) { q.Tree.Owner = "p" },
		"confined": func(q *Question, _ *appfile.Step) { q.Place.Isolation = "none" },
		"platform": func(q *Question, _ *appfile.Step) { q.Place.Platform = "linux/arm64" },
		"machine":  func(q *Question, _ *appfile.Step) { q.Place.Host.LibcVersion = "9" },
		"session":  func(q *Question, _ *appfile.Step) { q.Place.Session = "record" },
		"report":   func(_ *Question, s *appfile.Step) { s.Report = "r" },
		"keep":     func(_ *Question, s *appfile.Step) { s.Keep = []string{"k"} },
	} {
		if key(change) == same {
			t.Errorf("another %s: the same key", name)
		}
	}
}

func TestWhyAStepRuns(t *testing.T) {
	q := one(appfile.Step{Run: []string{"sh"}})
	s := must(t, q)[0]
	passed := recalled{map[digest.Digest]Result{s.Key: {Ended: time.Unix(1, 0)}}, map[string]Last{"s": {Inputs: s.Inputs}}}
	other := s.Inputs
	other.Run, other.Lock = []string{"x"}, ""
	for name, c := range map[string]struct {
		m     recalled
		fresh bool
		state State
		why   string
	}{
		"never":    {recalled{}, false, Runs, "it has not run yet"},
		"passed":   {passed, false, Remembered, "it has passed with the same inputs"},
		"fresh":    {passed, true, Runs, "--fresh"},
		"failed":   {recalled{lasts: map[string]Last{"s": {Inputs: s.Inputs, Failed: true}}}, false, Runs, "it did not pass the last time"},
		"changed":  {recalled{lasts: map[string]Last{"s": {Inputs: other}}}, false, Runs, "another command, overland.lock changed"},
		"vanished": {recalled{lasts: map[string]Last{"s": {Inputs: s.Inputs}}}, false, Runs, "its result is gone"},
	} {
		q.Memory, q.Fresh = c.m, c.fresh
		if got := must(t, q)[0]; got.State != c.state || got.Why != c.why {
			t.Errorf("%s: %s, %q", name, got.State, got.Why)
		}
	}
	q = one(appfile.Step{Run: []string{"sh"}, Secrets: []string{"smtp"}})
	if got := must(t, q)[0]; got.State != Refused || got.Key != "" {
		t.Errorf("with a secret: %+v", got)
	}
	q.Pipeline.Steps["t"] = appfile.Step{Run: []string{"sh"}, Needs: []string{"s"}}
	q.Pipeline.Steps["u"] = appfile.Step{Run: []string{"sh"}, Needs: []string{"t"}}
	q.Failed = map[string]bool{"s": true}
	if list := must(t, q); list[1].State != Blocked || list[2].State != Blocked {
		t.Errorf("after a failure: %+v", list)
	}
	for name, change := range map[string]func(){
		"no such path": func() { q.Pipeline.Steps["s"] = appfile.Step{Run: []string{"sh"}, Paths: []string{"b/"}} },
		"no such step": func() { q.Only = []string{"x"} },
	} {
		change()
		if _, err := Make(q); err == nil || errs.HintOf(err) == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
}
