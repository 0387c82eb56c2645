package pipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"overland/internal/appfile"
	"overland/internal/builder"
	"overland/internal/builder/command"
	"overland/internal/confine"
	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/home"
	"overland/internal/lockfile"
	"overland/internal/operator"
	"overland/internal/platform"
	"overland/internal/platform/sysinfo"
	"overland/internal/progress"
	"overland/internal/source"
)

// Options say what to plan or to run; the zero value works.
type Options struct {
	Source   operator.SourceOptions
	Pipeline string   // "" = the only one
	Steps    []string // with what they need; empty = all
	Fresh    bool     // what earlier runs ended with does not count, nor what they left in caches
	Parallel int      // steps and artifacts at the same time; 0 = 1
	Out      string   // folder to which what steps keep is copied, as STEP/PATH; "" = nowhere
	FS       fsx.FS
}

// Plan is what would be done, or was done, for one pipeline.
type Plan struct {
	App      string           `json:"app"`
	Version  string           `json:"version"`
	Pipeline string           `json:"pipeline"`
	On       appfile.On       `json:"-"`
	Build    []string         `json:"build,omitempty"` // artifacts that are built first
	Steps    []Step           `json:"steps"`
	Ended    map[string]Ended `json:"-"` // of a run: how its steps ended, by ID
}

// Ended is how a step of a run ended.
type Ended struct {
	Result
	Err error  // why it did not pass; nil = it passed
	Log string // its file
}

// When says for people when a site runs p.
func (p *Plan) When() string {
	var list []string
	add := func(what string, names []string) {
		if len(names) > 0 {
			list = append(list, what+" "+strings.Join(names, ", "))
		}
	}
	add("branches", p.On.Branches)
	add("tags", p.On.Tags)
	for _, s := range p.On.Schedule {
		list = append(list, s.String())
	}
	return cmp.Or(strings.Join(list, "; "), "every branch, tag and pull request")
}

// run is one call of Run or of Plans.
type run struct {
	p         *operator.Operator
	o         Options
	src       *operator.Source
	name      string
	def       appfile.Pipeline
	memory    *disk
	q         Question
	folder    string // as in the builder.Job
	commands  *command.Builder
	artifacts map[string]builder.Built
	lock      *lockfile.Lock

	work *builder.Workplace
	dir  string // with the checkout
	left []source.Left
}

// Plans returns what would be done: for o.Pipeline, or for all of them. Nothing is run or built.
func Plans(ctx context.Context, p *operator.Operator, o Options) ([]Plan, error) {
	src, err := p.Source(ctx, o.Source)
	if err != nil {
		return nil, err
	}
	names := []string{o.Pipeline}
	if o.Pipeline == "" {
		if names, err = namesOf(src.App); err != nil {
			return nil, err
		}
	}
	var list []Plan
	var tree *Tree
	for _, name := range names {
		r, err := newRun(ctx, p, o, src, name, tree)
		if err != nil {
			return nil, err
		}
		tree = &r.q.Tree
		one, err := r.plan(ctx)
		if err != nil {
			return nil, err
		}
		list = append(list, one)
	}
	return list, nil
}

func namesOf(app *appfile.App) ([]string, error) {
	if len(app.Pipelines) == 0 {
		return nil, errs.Hint(errs.Errorf(errs.NotFound, "%s has no pipelines", appfile.FileName),
			"overland build builds its artifacts; a pipeline: pipelines: {ci: {unit: {run: [go, test, ./...]}}}")
	}
	return slices.Sorted(maps.Keys(app.Pipelines)), nil
}

func newRun(ctx context.Context, p *operator.Operator, o Options, src *operator.Source, name string, tree *Tree) (*run, error) {
	def, ok := src.App.Pipelines[name]
	if !ok {
		names, err := namesOf(src.App)
		if err != nil {
			return nil, err
		}
		return nil, errs.Hint(errs.Errorf(errs.NotFound, "%s has no pipeline %q", appfile.FileName, name), "one of: %s", strings.Join(names, ", "))
	}
	r := &run{p: p, o: o, src: src, name: name, def: def, commands: p.Commands(src), artifacts: map[string]builder.Built{}}
	owner, folder, err := builder.Owner(ctx, src.Repo, src.Commit, src.App.Name)
	if err != nil {
		return nil, err
	}
	r.folder = folder
	r.memory = &disk{dir: home.Pipelines.In(p.Dir()), owner: owner, fs: o.FS, size: func(d digest.Digest) (int64, error) { return p.Depot().Stat(ctx, d) }}
	r.q = Question{Name: name, Pipeline: def, Artifacts: map[string]digest.Digest{}, Memory: &snapshot{Memory: r.memory, passed: map[digest.Digest]found{}}, Only: o.Steps, Done: map[string]Result{}, Failed: map[string]bool{}}
	for a := range src.App.Artifacts {
		r.q.Artifacts[a] = ""
	}
	if r.q.Place.Host, err = sysinfo.Read(""); err != nil {
		return nil, err
	}
	if r.q.Place.Platform, err = platform.Here(); err != nil {
		return nil, errs.E(errs.Denied, err)
	}
	r.q.Place.Isolation, r.q.Place.Session = r.commands.Confines()
	r.q.Fresh = o.Fresh || r.q.Place.Session != "" // what is not run asks for nothing
	text, err := src.Repo.ReadFile(ctx, src.Commit, lockfile.Name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		r.lock = &lockfile.Lock{} // nothing can be fetched
	case err != nil:
		return nil, err
	default:
		if r.lock, err = builder.ParseLock(text); err != nil {
			return nil, err
		}
	}
	if tree != nil {
		r.q.Tree = *tree
		return r, nil
	}
	r.q.Tree.Owner, r.q.Tree.digests = owner, map[string]digest.Digest{}
	if len(text) > 0 {
		r.q.Tree.Lock = digest.Of(text)
	}
	r.q.Tree.Files, err = src.Repo.Files(ctx, src.Commit)
	return r, err
}

// plan returns what would be done now.
func (r *run) plan(ctx context.Context) (Plan, error) {
	out := Plan{App: r.src.App.Name, Version: r.src.Commit.Version, Pipeline: r.name, On: r.def.On}
	if err := r.build(ctx, true); err != nil {
		return out, err
	}
	for name := range r.artifacts {
		if r.q.Artifacts[name] == "" {
			out.Build = append(out.Build, name)
		}
	}
	slices.Sort(out.Build)
	var err error
	out.Steps, err = Make(r.q)
	return out, err
}

// build finds the artifacts that steps need, or with known those that are remembered.
func (r *run) build(ctx context.Context, known bool) error {
	order, err := r.q.order()
	if err != nil {
		return err
	}
	names := artifacts(r.src.App, r.def, order)
	built, err := r.p.Artifacts(ctx, r.src, names, r.q.Place.Platform, r.o.Parallel, known)
	if err != nil {
		return err
	}
	for _, b := range built.Programs {
		r.artifacts[b.Name], r.q.Artifacts[b.Name] = b, b.Digest
	}
	return nil
}

// Run runs what is not remembered of a pipeline, and returns how each step ended. A step that did not pass
// is in the Plan, and an error that names it; what does not need it was run all the same.
func Run(ctx context.Context, p *operator.Operator, o Options) (*Plan, error) {
	src, err := p.Source(ctx, o.Source)
	if err != nil {
		return nil, err
	}
	if o.Pipeline == "" {
		names, err := namesOf(src.App)
		if err != nil {
			return nil, err
		}
		if len(names) > 1 {
			return nil, errs.Hint(errs.Errorf(errs.Invalid, "%s has %d pipelines", appfile.FileName, len(names)), "name one of: %s", strings.Join(names, ", "))
		}
		o.Pipeline = names[0]
	}
	r, err := newRun(ctx, p, o, src, o.Pipeline, nil)
	if err != nil {
		return nil, err
	}
	steps, err := Make(r.q)
	if err != nil {
		return nil, err
	}
	for _, s := range steps { // before minutes go into the others
		if s.State == Refused {
			return nil, errs.Hint(errs.Errorf(errs.Denied, "step %s: %s", s.ID, s.Why), "run the steps without secrets: --step NAME")
		}
	}
	if err := r.build(ctx, false); err != nil {
		return nil, err
	}
	if r.work, err = builder.NewWorkplace(home.Work.In(p.Dir()), o.FS); err != nil {
		return nil, err
	}
	defer r.work.Close()
	ended, err := r.all(ctx)
	if err != nil {
		return nil, err
	}
	out := &Plan{App: src.App.Name, Version: src.Commit.Version, Pipeline: r.name, On: r.def.On, Ended: ended}
	if out.Steps, err = Make(r.q); err != nil {
		return nil, err
	}
	return out, cmp.Or(r.export(ctx, out), out.failed())
}

// failed returns an error when a step did not pass.
func (p *Plan) failed() error {
	var names []string
	for _, s := range p.Steps {
		if p.Ended[s.ID].Err != nil {
			names = append(names, s.ID)
		}
	}
	if len(names) == 0 {
		return nil
	}
	first := p.Ended[names[0]]
	return errs.Hint(fmt.Errorf("%s did not pass: %s", progress.Count(len(names), "step", "steps"), strings.Join(names, ", ")), "its log: %s", first.Log)
}

// all runs steps until no more can be run.
func (r *run) all(ctx context.Context) (map[string]Ended, error) {
	type end struct {
		step Step
		Ended
	}
	ended, ends, running := map[string]Ended{}, make(chan end), map[string]bool{}
	var broken error // of this program or machine: nothing more is begun
	for {
		steps, err := Make(r.q)
		if err != nil {
			return nil, err // of the first time: there is nothing to wait for
		}
		for _, s := range steps {
			_, over := ended[s.ID]
			if over && r.q.Done[s.ID].Ended.IsZero() || s.State != Runs || running[s.ID] || len(running) >= max(1, r.o.Parallel) || broken != nil || ctx.Err() != nil {
				continue
			}
			if broken = r.checkout(ctx); broken != nil {
				break
			}
			running[s.ID] = true
			given := maps.Clone(r.q.Done)
			for _, of := range steps {
				if of.State == Remembered {
					given[of.ID] = of.Result
				}
			}
			go func() {
				e, err := r.step(ctx, s, given)
				if err != nil {
					e.Err = err
				}
				ends <- end{s, e}
			}()
		}
		if len(running) == 0 {
			return ended, cmp.Or(ctx.Err(), broken)
		}
		e := <-ends
		delete(running, e.step.ID)
		ended[e.step.ID] = e.Ended
		if e.Err == nil {
			r.q.Done[e.step.ID] = e.Result
		} else {
			r.q.Failed[e.step.ID] = true
		}
	}
}

// checkout makes the folder of which each step gets a copy.
func (r *run) checkout(ctx context.Context) (err error) {
	if r.dir != "" {
		return nil
	}
	dir := filepath.Join(r.work.Dir(), "src")
	if r.left, err = r.src.Repo.Checkout(ctx, r.src.Commit, dir); err == nil {
		r.dir = dir
	}
	return err
}

// epoch is the time of every file that a step sees, and its SOURCE_DATE_EPOCH: that of a commit would make
// the same tree another one. It is the earliest that a zip file can hold.
func epoch() time.Time { return time.Date(1980, time.January, 1, 0, 0, 0, 0, time.UTC) }

// step runs s, unless another process has just done so. given are the results of steps.
func (r *run) step(ctx context.Context, s Step, given map[string]Result) (Ended, error) {
	say := func(note string, over bool) {
		if show := r.p.Callbacks().Progress; show != nil {
			show(progress.Event{Step: "step", What: s.ID, Note: note, End: over})
		}
	}
	out := Ended{Log: r.memory.path(s.Key, ".log")}
	lock, err := r.memory.lock(ctx, s.Key)
	if err != nil {
		return out, err
	}
	defer lock.Unlock()
	if passed, ok := r.memory.Passed(s.Key); ok && !r.q.Fresh {
		say("remembered", true)
		out.Result = passed
		return out, nil
	}
	to, err := openLog(out.Log, logHead, logPart)
	if err != nil {
		return out, err
	}
	defer func() { _ = to.close() }() // what it could not write costs a log
	for try := 1; ; try++ {
		note := strings.Join(s.Step.Run, " ")
		if try > 1 {
			note = fmt.Sprintf("try %d: %s", try, note)
			fmt.Fprintf(to, "\noverland: try %d\n", try)
		}
		say(note, false)
		out.Result, out.Err = r.try(ctx, s, given, to)
		out.Tries = try
		if out.Err == nil || ctx.Err() != nil || try > s.Step.Retry {
			break
		}
	}
	if ctx.Err() != nil {
		return out, ctx.Err()
	}
	flaky := out.Err == nil && out.Tries > 1
	r.memory.ended(r.name, s.ID, s.Inputs, out.Err != nil, flaky)
	switch {
	case out.Err != nil:
		say("did not pass", true)
		return out, nil
	case flaky:
		say(fmt.Sprintf("flaky: passed at try %d", out.Tries), true)
	default:
		say("passed", true)
	}
	return out, r.memory.passed(s.Key, out.Result)
}

// try runs s once, in a copy of its own.
func (r *run) try(ctx context.Context, s Step, given map[string]Result, to io.Writer) (Result, error) {
	res := Result{Inputs: s.Inputs}
	scratch, err := os.MkdirTemp(r.work.Dir(), "step-")
	if err != nil {
		return res, err
	}
	defer func() { _ = fsx.RemoveTree(scratch) }()
	needs := filepath.Join(scratch, "needs")
	if err := r.needs(ctx, s, given, needs); err != nil {
		return res, err
	}
	t := command.Task{
		Name: s.Key.Encoded(), Run: s.Step.Run, Src: r.dir, Left: r.left, Time: epoch(), Scratch: scratch,
		Cache: filepath.Join(r.p.StepCaches(r.folder), "go-build"), Limits: confine.Limits{Time: time.Duration(s.Step.Timeout)},
		Environ: []string{"OVERLAND_NEEDS=" + needs, "OVERLAND_STEP=" + s.ID, "OVERLAND_PLATFORM=" + string(r.q.Place.Platform)},
		Lock:    func(context.Context) (*lockfile.Lock, error) { return r.lock, nil }, Log: to,
		Verb: "overland pipeline run " + r.name, More: more,
	}
	if r.o.Fresh {
		t.Cache = filepath.Join(scratch, "go-build")
	} else if r.q.Place.Isolation != "full" {
		t.Cache += "-none"
	}
	for k, v := range s.Matrix {
		t.Environ = append(t.Environ, k+"="+v)
	}
	if len(s.Step.Paths) > 0 {
		t.Sees = func(name string) bool {
			return slices.ContainsFunc(s.Step.Paths, func(p string) bool { return below(name, p) })
		}
	}
	begun := time.Now()
	dir, err := r.commands.Do(ctx, t)
	res.Took, res.Ended = time.Since(begun).Round(time.Millisecond).Seconds(), time.Now().UTC()
	if ctx.Err() != nil {
		return res, ctx.Err()
	}
	return res, r.after(ctx, s, dir, &res, err)
}

// after reads what a command left in dir, and returns why the step did not pass.
func (r *run) after(ctx context.Context, s Step, dir string, res *Result, ran error) (err error) {
	if dir == "" { // it did not begin
		return ran
	}
	if s.Step.Report != "" {
		res.Tests, err = readReport(dir, s.Step.Report)
		if errors.Is(err, fs.ErrNotExist) {
			err = errs.Hint(errs.Errorf(errs.Invalid, "the command made no %s", s.Step.Report), "report names the file in which it says what its tests did")
		}
	}
	kept, err2 := keep(ctx, r.p.Depot(), dir, s.Step.Keep, ran != nil)
	res.Kept = kept
	return cmp.Or(ran, err, err2)
}

// needs places what s needs below dir: NAME of an artifact, STEP/PATH of a step.
func (r *run) needs(ctx context.Context, s Step, given map[string]Result, dir string) error {
	const folder = 0o755
	if err := os.MkdirAll(dir, folder); err != nil {
		return err
	}
	for _, of := range s.Needs {
		if a, ok := r.artifacts[of]; ok {
			if err := r.artifact(ctx, a, dir); err != nil {
				return err
			}
			continue
		}
		if err := place(ctx, r.open, dir, of, given[of].Kept); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) artifact(ctx context.Context, a builder.Built, dir string) error {
	b := &operator.Built{Source: r.src, Programs: []builder.Built{a}}
	b.Ref.App, b.Ref.Version = r.src.App.Name, r.src.Commit.Version
	aside := dir + "-artifacts"
	paths, err := r.p.ExportDir(ctx, b, aside)
	if err != nil {
		return err
	}
	for _, p := range paths {
		if err := os.Rename(p, filepath.Join(dir, filepath.Base(p))); err != nil {
			return err
		}
	}
	return os.RemoveAll(aside)
}

func (r *run) open(ctx context.Context, d digest.Digest) (io.ReadCloser, error) {
	return r.p.Depot().Open(ctx, d)
}

// export copies what steps have kept to the folder that a person named, also of those that did not pass.
func (r *run) export(ctx context.Context, p *Plan) error {
	if r.o.Out == "" {
		return nil
	}
	for _, s := range p.Steps {
		kept := s.Result.Kept
		if e, ran := p.Ended[s.ID]; ran {
			kept = e.Kept
		}
		if err := place(ctx, r.open, r.o.Out, path.Clean(s.ID), kept); err != nil {
			return err
		}
	}
	return nil
}

// more says how a step gets more of what it had too little of.
func more(l *confine.LimitError) string {
	switch l.What {
	case "time":
		return "timeout: 12h in the step, if it is right that it takes longer"
	case "output":
		return "it prints without end: let it say less"
	case "disk":
		return "make room on the disk of the site directory"
	}
	return "a step may use no more of a machine than a build: let it use less, or make it two"
}
