package yamlfile

import (
	"fmt"
	"maps"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // a schedule means the same on a machine without time zones

	"overland/internal/appfile"
)

var (
	// A path, as git and people write it. What is refused besides, only inside says.
	pathPattern     = regexp.MustCompile(`^[^/\\\n]([^\\\n]*[^/\\\n])?$`)
	refPattern      = regexp.MustCompile(`^[A-Za-z0-9*][A-Za-z0-9*._/+-]{0,199}$`)
	matrixPattern   = regexp.MustCompile(`^[a-z][a-z0-9_]{0,31}$`)
	valuePattern    = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._+-]{0,39}$`)
	schedulePattern = regexp.MustCompile(`^(daily|[A-Z][a-z]{2}([,-][A-Z][a-z]{2})*) [0-9]{2}:[0-9]{2}( [A-Za-z0-9_+/-]+)?$`)
)

// What the patterns mean, in words.
const (
	pathForm     = "write it like docs or out/report.xml, below the top of the repository"
	refForm      = "a name, in which * stands for anything: main, release/*"
	matrixForm   = "a to z, 0 to 9 and _, at most 32, beginning with a letter: the command has it in its environment"
	valueForm    = "letters, digits and . _ + -, at most 40: it becomes the name of a folder"
	scheduleForm = "write it like Mon 06:00 Europe/Paris, Mon-Fri 23:30 or daily 04:15 UTC"
)

// on is the key of a pipeline that is not a step.
const on = "on"

// laterKeys are keys of a step that are reserved for what is still to come.
func laterKeys() map[string]string {
	return map[string]string{
		"with": "containers beside a step are not there yet: start what it needs from the command itself",
		"lock": "steps that renew the lock are not there yet: overland record does it",
		"if":   "a step has no conditions: give it a pipeline with `on` of its own",
	}
}

func pipelinesKey() Key[appfile.App] {
	return Key[appfile.App]{
		Name: "pipelines", Doc: "What is run of a commit, by name; each holds steps by name, and `on`.",
		Schema: Schema{"type": "object", "propertyNames": Schema{"pattern": namePattern}, "maxProperties": appfile.MaxPipelines, "additionalProperties": pipelineSchema()},
		Set:    setPipelines,
	}
}

func pipelineSchema() Schema {
	s := Schema{"type": "object", "propertyNames": Schema{"pattern": namePattern}, "additionalProperties": Object(stepKeys())}
	when := Object(onKeys())
	when["description"] = "When a site runs it; every branch, tag and pull request when left out."
	s["properties"] = Schema{on: when}
	s["minProperties"] = 1
	return s
}

func setPipelines(d *Decoder, n Node, a *appfile.App) {
	a.Pipelines = map[string]appfile.Pipeline{}
	d.each(n, "pipelines", func(k keyToken, v Node) {
		if !d.name(k, k.Value, "pipeline") {
			return
		}
		if len(a.Pipelines) == appfile.MaxPipelines {
			d.fail(k, "join some", "more than %d pipelines", appfile.MaxPipelines)
			return
		}
		a.Pipelines[k.Value] = d.pipeline(k, v, a)
	})
	if len(a.Pipelines) == 0 {
		a.Pipelines = nil
	}
}

// stepNode is a step and where it stands.
type stepNode struct {
	at    keyToken
	needs Node // the value of needs; nil = it has none
	step  appfile.Step
}

func (d *Decoder) pipeline(at keyToken, n Node, a *appfile.App) appfile.Pipeline {
	p := appfile.Pipeline{Steps: map[string]appfile.Step{}}
	keys, when := stepKeys(), onKeys()
	nodes := map[string]*stepNode{}
	variants := 0
	d.each(n, "pipeline "+at.Value, func(k keyToken, v Node) {
		switch {
		case k.Value == on:
			Decode(d, v, on, when, &p.On)
			return
		case !d.name(k, k.Value, "step"):
			return
		case len(p.Steps) == appfile.MaxSteps:
			d.fail(k, "make two pipelines", "more than %d steps", appfile.MaxSteps)
			return
		}
		one := &stepNode{at: k}
		Decode(d, v, "step "+k.Value, keys, one)
		made, err := one.step.Variants()
		if variants += len(made); err == nil && variants > appfile.MaxVariants {
			err = fmt.Errorf("with it the pipeline has more than %d steps", appfile.MaxVariants)
		}
		if err != nil {
			d.fail(k, "leave values out of matrix", "step %s: %v", k.Value, err)
		}
		p.Steps[k.Value], nodes[k.Value] = one.step, one
	})
	if len(p.Steps) == 0 && !d.failed() {
		d.fail(at, "a step: {run: [go, test, ./...]}", "pipeline %s has no steps", at.Value)
	}
	d.later = append(d.later, func() { d.checkSteps(nodes, a) })
	return p
}

// checkSteps complains of names that mean two things or nothing, and of steps that wait for themselves.
func (d *Decoder) checkSteps(nodes map[string]*stepNode, a *appfile.App) {
	known := slices.Sorted(maps.Keys(nodes))
	for _, name := range known {
		if _, both := a.Artifacts[name]; both {
			d.fail(nodes[name].at, "give the step another name", "step %s has the name of an artifact, and needs could mean either", name)
		}
	}
	known = append(known, slices.Sorted(maps.Keys(a.Artifacts))...)
	for _, name := range known[:len(nodes)] {
		n := nodes[name]
		for i, of := range n.step.Needs {
			switch {
			case !slices.Contains(known, of):
				d.Fail(n.needs, "steps of this pipeline, and artifacts: "+strings.Join(known, ", "), "step %s needs %.60q, which is not there%s", name, of, meant(of, known))
			case slices.Contains(n.step.Needs[:i], of):
				d.Fail(n.needs, "keep one of them", "step %s needs %s twice", name, of)
			}
		}
	}
	d.cycles(nodes)
}

// cycles complains of steps that wait for themselves, once for each ring.
func (d *Decoder) cycles(nodes map[string]*stepNode) {
	const fresh, open, done = 0, 1, 2
	state := map[string]int{}
	var visit func(name string, above []string)
	visit = func(name string, above []string) {
		n := nodes[name]
		if n == nil || state[name] == done {
			return
		}
		above = append(above, name)
		if state[name] == open {
			ring := above[slices.Index(above, name):]
			d.Fail(nodes[above[len(above)-2]].needs, "leave one of them out of needs", "a step waits for itself: %.300s", strings.Join(ring, " → "))
			return
		}
		state[name] = open
		for _, of := range n.step.Needs {
			visit(of, above)
		}
		state[name] = done
	}
	for _, name := range slices.Sorted(maps.Keys(nodes)) {
		visit(name, nil)
	}
}

func stepKeys() []Key[stepNode] {
	paths := func(name, doc string, at func(*appfile.Step) *[]string) Key[stepNode] {
		k := List(name, "a path", doc, pathPattern, pathForm, func(n *stepNode) *[]string { return at(&n.step) })
		return k.Then(func(d *Decoder, n Node, to *stepNode) { d.inside(n, name, *at(&to.step)) })
	}
	keys := []Key[stepNode]{
		Command("run", "A program and its arguments, run at the top of a copy of the commit: [go, test, ./...].", "[go, test, ./...]",
			func(n *stepNode) *[]string { return &n.step.Run }).Must(),
		List("needs", "a need", "Steps that come first, and artifacts: the command finds what they made below $OVERLAND_NEEDS.", namePattern, nameForm,
			func(n *stepNode) *[]string { return &n.step.Needs }).Then(func(_ *Decoder, n Node, to *stepNode) { to.needs = n }),
		paths("paths", "Files and folders of the commit; the command sees these alone, and runs again only when one of them changes. All when left out.",
			func(s *appfile.Step) *[]string { return &s.Paths }),
		matrixKey(),
		Duration("timeout", "How long one try may take; 6h when left out.", appfile.MaxTimeout, func(n *stepNode) *appfile.Duration { return &n.step.Timeout }),
		Number("retry", "How often a step that failed is tried again; one that passes then is called flaky.", 0, appfile.MaxRetry, func(n *stepNode) *int { return &n.step.Retry }),
		Text("report", "The file in which the command says what its tests did: JUnit XML, or what go test -json prints.", pathPattern, pathForm,
			func(n *stepNode) *string { return &n.step.Report }).
			Then(func(d *Decoder, n Node, to *stepNode) { d.inside(n, "report", []string{to.step.Report}) }),
		paths("keep", "Files and folders that stay when the copy is removed; other steps get them, and --out exports them.",
			func(s *appfile.Step) *[]string { return &s.Keep }),
		List("secrets", "a secret", "Names of secrets that the site gives to the command; this machine has none.", namePattern, nameForm,
			func(n *stepNode) *[]string { return &n.step.Secrets }),
	}
	for name, says := range laterKeys() {
		keys = append(keys, Key[stepNode]{Name: name, Set: func(d *Decoder, n Node, _ *stepNode) {
			d.Fail(n, says, "the key %s of a step is not there yet", name)
		}})
	}
	slices.SortStableFunc(keys[len(keys)-len(laterKeys()):], func(a, b Key[stepNode]) int { return strings.Compare(a.Name, b.Name) })
	return keys
}

// inside complains of paths of n that leave the repository, or are git's own.
func (d *Decoder) inside(n Node, what string, paths []string) {
	for i, p := range paths {
		switch {
		case p == "": // it was not a path
		case path.Clean(p) != p || p == "." || !filepath.IsLocal(p) || strings.EqualFold(strings.SplitN(p, "/", 2)[0], ".git"):
			d.Fail(n, pathForm, "%s %.60q is not a path inside the repository", what, p)
		case slices.Contains(paths[:i], p):
			d.Fail(n, "keep one of them", "%s %.60q is here twice", what, p)
		}
	}
}

// matrixKey is a mapping from names to lists of values.
func matrixKey() Key[stepNode] {
	value := Schema{"type": []string{"string", "number", "boolean"}}
	return Key[stepNode]{
		Name: "matrix", Doc: "The step is run with each value, which the command has in its environment: {locale: [en, de]}.",
		Schema: Schema{"type": "object", "propertyNames": Schema{"pattern": matrixPattern}, "additionalProperties": Schema{"type": "array", "minItems": 1, "items": value}},
		Set: func(d *Decoder, n Node, to *stepNode) {
			m := map[string][]string{}
			d.each(n, "matrix", func(k keyToken, v Node) {
				if !matrixPattern.MatchString(k.Value) || strings.HasSuffix(k.Value, "_proxy") { // which say how the command reaches the recorder
					d.fail(k, matrixForm, "matrix: %.60q: %s", k.Value, matrixForm)
					return
				}
				for _, s := range d.words(v, "matrix: "+k.Value) {
					switch {
					case !valuePattern.MatchString(s):
						d.Fail(v, valueForm, "matrix: %s %.60q: %s", k.Value, s, valueForm)
					case slices.Contains(m[k.Value], s):
						d.Fail(v, "keep one of them", "matrix: %s %s is here twice", k.Value, s)
					}
					m[k.Value] = append(m[k.Value], s)
				}
				if len(m[k.Value]) == 0 && !d.failed() {
					d.Fail(v, "write it like {locale: [en, de]}", "matrix: %s has no values", k.Value)
				}
			})
			if len(m) > 0 {
				to.step.Matrix = m
			}
		},
	}
}

func onKeys() []Key[appfile.On] {
	return []Key[appfile.On]{
		List("branches", "a branch", "Branches, by names in which * stands for anything.", refPattern, refForm, func(o *appfile.On) *[]string { return &o.Branches }),
		List("tags", "a tag", "Tags, the same way.", refPattern, refForm, func(o *appfile.On) *[]string { return &o.Tags }),
		{
			Name: "schedule", Doc: "Times, in a time zone (UTC when left out), or a list of them: Mon 06:00 Europe/Paris.",
			Schema: Schema{"oneOf": []any{
				Schema{"type": "string", "pattern": schedulePattern},
				Schema{"type": "array", "minItems": 1, "maxItems": appfile.MaxSchedules, "items": Schema{"type": "string", "pattern": schedulePattern}},
			}},
			Set: func(d *Decoder, n Node, o *appfile.On) {
				each := func(v Node) {
					if s, ok := d.schedule(v); ok {
						o.Schedule = append(o.Schedule, s)
					}
				}
				if kind(n) == "a list" {
					d.list(n, "schedule", each)
				} else {
					each(n)
				}
				if len(o.Schedule) > appfile.MaxSchedules {
					d.Fail(n, scheduleForm, "more than %d schedules", appfile.MaxSchedules)
				}
			},
		},
	}
}

func (d *Decoder) schedule(n Node) (appfile.Schedule, bool) {
	text, ok := d.Text(n, "schedule")
	if !ok {
		return appfile.Schedule{}, false
	}
	s, err := appfile.ParseSchedule(text)
	if err == nil && !schedulePattern.MatchString(text) {
		err = fmt.Errorf("schedule %.60q: not days, a time and a zone", text)
	}
	if err == nil {
		if _, unknown := time.LoadLocation(s.Zone); unknown != nil {
			err = fmt.Errorf("schedule %.60q: unknown time zone %.60q", text, s.Zone)
		}
	}
	if err != nil {
		d.Fail(n, scheduleForm, "%v", err)
		return s, false
	}
	return s, true
}

// pipelineFields returns what Marshal writes.
func pipelineFields(all map[string]appfile.Pipeline) (list Mapping) {
	keys, when := stepKeys(), onKeys()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		p := all[name]
		var steps Mapping
		times := []string{}
		for _, s := range p.On.Schedule {
			times = append(times, s.String())
		}
		steps = append(steps, field{on, append(Fields(when, &p.On), field{"schedule", times})})
		for _, step := range slices.Sorted(maps.Keys(p.Steps)) {
			one := stepNode{step: p.Steps[step]}
			var matrix Mapping
			for _, k := range slices.Sorted(maps.Keys(one.step.Matrix)) {
				matrix = append(matrix, field{k, one.step.Matrix[k]})
			}
			steps = append(steps, field{step, append(Fields(keys, &one), field{"matrix", matrix})})
		}
		list = append(list, field{name, steps})
	}
	return list
}
