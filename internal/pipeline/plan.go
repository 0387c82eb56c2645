package pipeline

import (
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"overland/internal/appfile"
	"overland/internal/confine/cell"
	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/platform"
	"overland/internal/source"
)

// inputsVersion is part of every key: raise it when the meaning of a Result, or how a step is run, changes.
const inputsVersion = 1

// Inputs are what decides how a step ends. The digest of their JSON is the step's key. Neither the name
// of a step nor anything of the commit but its files is among them: the same work is done once.
type Inputs struct {
	Version int                      `json:"version"`
	Owner   string                   `json:"owner"` // as in the builder.Job: no application takes another one's results
	Run     []string                 `json:"run"`
	Files   digest.Digest            `json:"files"` // of those that the step sees
	Needs   map[string]digest.Digest `json:"needs,omitempty"`
	Matrix  appfile.Variant          `json:"matrix,omitempty"`
	Report  string                   `json:"report,omitempty"`
	Keep    []string                 `json:"keep,omitempty"`
	Lock    digest.Digest            `json:"lock,omitempty"` // of overland.lock; "" = the commit has none
	Place                            //
}

// Place is where steps run, as far as it decides how they end.
type Place struct {
	Isolation cell.Isolation    `json:"isolation"`
	Session   string            `json:"session,omitempty"` // the kind of the recording or replay around
	Platform  platform.Platform `json:"platform"`
	Host      platform.Host     `json:"host"`
}

// key returns the name of what a step with these inputs ends with.
func (in *Inputs) key() digest.Digest {
	b, err := json.Marshal(in)
	if err != nil {
		panic("pipeline: inputs: " + err.Error()) // texts alone
	}
	return digest.Of(b)
}

// Tree is what a plan reads of a commit.
type Tree struct {
	Owner string
	Files []source.File
	Lock  digest.Digest

	digests map[string]digest.Digest // of seen; nil = they are not kept
}

// Memory is what earlier runs ended with. While a plan is made it does not change.
type Memory interface {
	// Passed returns what the step with this key ended with, the last time that it passed.
	Passed(key digest.Digest) (Result, bool)
	// Last returns how the step id of the pipeline ended the last time.
	Last(pipeline, id string) (Last, bool)
}

// Question is all that a plan depends on.
type Question struct {
	Name      string
	Pipeline  appfile.Pipeline
	Artifacts map[string]digest.Digest // those of the application; "" = it is not built
	Tree      Tree
	Place     Place
	Memory    Memory
	Only      []string          // steps, with what they need; empty = all
	Fresh     bool              // what earlier runs ended with does not count
	Done      map[string]Result // what steps of this run ended with, by ID
	Failed    map[string]bool   // the steps of this run that failed, and the artifacts, by ID
}

// State is what a plan has for a step.
type State string

// The states.
const (
	Remembered State = "remembered" // it has passed with these inputs
	Runs       State = "runs"
	Waits      State = "waits"   // for the results of what it needs: they may be what they were
	Refused    State = "refused" // this machine cannot run it
	Blocked    State = "blocked" // something that it needs has failed
)

// Step is one variant of a step in a plan.
type Step struct {
	Name   string          `json:"name"`
	ID     string          `json:"id"` // "e2e/de,1.22": with the values of its matrix
	Matrix appfile.Variant `json:"matrix,omitempty"`
	Needs  []string        `json:"needs,omitempty"` // IDs of steps, and names of artifacts
	State  State           `json:"state"`
	Why    string          `json:"why"`
	Key    digest.Digest   `json:"key,omitempty"` // "" = not known before what it needs has ended

	Step   appfile.Step `json:"-"`
	Inputs Inputs       `json:"-"`
	Result Result       `json:"-"` // of one that is remembered
}

// Make returns the steps of q, each after what it needs. It touches nothing: the same question has the
// same answer. An unknown step of Only is NotFound; a path that the commit does not have is Invalid.
func Make(q Question) ([]Step, error) {
	order, err := q.order()
	if err != nil {
		return nil, err
	}
	var list []Step
	ids := map[string][]string{} // of the variants of a step
	results := map[string]digest.Digest{}
	q.Failed = maps.Clone(q.Failed) // with what is blocked
	for _, name := range order {
		def := q.Pipeline.Steps[name]
		files, err := q.Tree.seen(def.Paths)
		if err != nil {
			return nil, fmt.Errorf("pipeline %s: step %s: %w", q.Name, name, err)
		}
		variants, err := def.Variants()
		if err != nil {
			return nil, errs.E(errs.Invalid, fmt.Errorf("pipeline %s: step %s: %w", q.Name, name, err))
		}
		for _, v := range variants {
			s := Step{Name: name, ID: path.Join(name, v.String()), Matrix: v, Step: def}
			for _, of := range def.Needs {
				if made, ok := q.Artifacts[of]; ok {
					s.Needs = append(s.Needs, of)
					results[of] = made
					continue
				}
				s.Needs = append(s.Needs, ids[of]...)
			}
			q.decide(&s, files, results)
			if s.Result.Ended.IsZero() {
				results[s.ID] = ""
			} else {
				results[s.ID] = s.Result.digest()
			}
			ids[name] = append(ids[name], s.ID)
			list = append(list, s)
		}
	}
	return list, nil
}

// decide fills in what is to be done with s.
func (q *Question) decide(s *Step, files digest.Digest, results map[string]digest.Digest) {
	s.Inputs = Inputs{
		Version: inputsVersion, Owner: q.Tree.Owner, Run: s.Step.Run, Files: files, Matrix: s.Matrix,
		Report: s.Step.Report, Keep: s.Step.Keep, Lock: q.Tree.Lock, Place: q.Place,
	}
	if len(s.Step.Secrets) > 0 {
		s.State, s.Why = Refused, "secrets "+strings.Join(s.Step.Secrets, ", ")+": only a site has them"
		return
	}
	var open, lost []string
	for _, of := range s.Needs {
		if s.Inputs.Needs == nil {
			s.Inputs.Needs = map[string]digest.Digest{}
		}
		s.Inputs.Needs[of] = results[of]
		switch {
		case q.Failed[of]:
			lost = append(lost, of)
		case results[of] == "":
			open = append(open, of)
		}
	}
	switch {
	case len(lost) > 0:
		s.State, s.Why = Blocked, strings.Join(lost, ", ")+" did not pass"
		q.Failed[s.ID] = true // it is not nil: something is in it
		return
	case len(open) > 0:
		s.State, s.Why = Waits, "for "+strings.Join(open, ", ")
		return
	}
	s.Key = s.Inputs.key()
	if done, ok := q.Done[s.ID]; ok {
		s.State, s.Why, s.Result = Remembered, "it has just passed", done
		return
	}
	passed, ok := q.Memory.Passed(s.Key)
	if ok && !q.Fresh {
		s.State, s.Why, s.Result = Remembered, "it has passed with the same inputs", passed
		return
	}
	s.State = Runs
	last, before := q.Memory.Last(q.Name, s.ID)
	switch {
	case ok:
		s.Why = "--fresh"
	case !before:
		s.Why = "it has not run yet"
	case last.Failed && last.Inputs.key() == s.Key:
		s.Why = "it did not pass the last time"
	default:
		s.Why = strings.Join(differences(last.Inputs, s.Inputs), ", ")
	}
}

// differences says for people what is another in b than in a.
func differences(a, b Inputs) (list []string) {
	add := func(same bool, what string) {
		if !same {
			list = append(list, what)
		}
	}
	add(slices.Equal(a.Run, b.Run), "another command")
	add(a.Files == b.Files, "its files changed")
	for _, of := range slices.Sorted(maps.Keys(b.Needs)) {
		add(a.Needs[of] == b.Needs[of], of+" is another")
	}
	add(a.Report == b.Report && slices.Equal(a.Keep, b.Keep), "another report or keep")
	add(a.Lock == b.Lock, "overland.lock changed")
	add(a.Place == b.Place, "another machine or isolation")
	if len(list) == 0 {
		list = append(list, "its result is gone")
	}
	return list
}

// seen returns the digest of the files that a step with these paths sees.
func (t *Tree) seen(paths []string) (digest.Digest, error) {
	if d, ok := t.digests[strings.Join(paths, "\x00")]; ok {
		return d, nil
	}
	found := make([]bool, len(paths))
	h := digest.New()
	for _, f := range t.Files {
		in := len(paths) == 0
		for i, p := range paths {
			if below(f.Path, p) {
				in, found[i] = true, true
			}
		}
		if in {
			fmt.Fprintf(h, "%s %s %s\x00", f.Mode, f.Hash, f.Path)
		}
	}
	if i := slices.Index(found, false); i >= 0 {
		return "", errs.Hint(errs.Errorf(errs.Invalid, "paths: the commit has no %s", paths[i]), "see git ls-files")
	}
	d := h.Digest()
	if t.digests != nil {
		t.digests[strings.Join(paths, "\x00")] = d
	}
	return d, nil
}

// below reports whether name is dir or in it.
func below(name, dir string) bool {
	rest, ok := strings.CutPrefix(name, dir)
	return ok && (rest == "" || rest[0] == '/')
}

// order returns the names of the steps that q is about, each after what it needs.
func (q *Question) order() ([]string, error) {
	names := slices.Sorted(maps.Keys(q.Pipeline.Steps))
	from := q.Only
	if len(from) == 0 {
		from = names
	}
	var list []string
	const open, done = 1, 2
	state := map[string]int{}
	var add func(name string) error
	add = func(name string) error {
		s, ok := q.Pipeline.Steps[name]
		switch {
		case !ok:
			if _, artifact := q.Artifacts[name]; artifact {
				return nil
			}
			return errs.Hint(errs.Errorf(errs.NotFound, "pipeline %s has no step %q", q.Name, name), "one of: %s", strings.Join(names, ", "))
		case state[name] == done:
			return nil
		case state[name] == open:
			return errs.Errorf(errs.Invalid, "pipeline %s: step %s waits for itself", q.Name, name) // the file says so with its line
		}
		state[name] = open
		for _, of := range s.Needs {
			if err := add(of); err != nil {
				return err
			}
		}
		state[name] = done
		list = append(list, name)
		return nil
	}
	for _, name := range from {
		if err := add(name); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// artifacts returns the artifacts that the steps called names need.
func artifacts(app *appfile.App, p appfile.Pipeline, names []string) (list []string) {
	for _, name := range names {
		for _, of := range p.Steps[name].Needs {
			if _, ok := app.Artifacts[of]; ok && !slices.Contains(list, of) {
				list = append(list, of)
			}
		}
	}
	slices.Sort(list)
	return list
}
