package pipeline

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"overland/internal/cli/sitedir"
	"overland/internal/cli/term"
	"overland/internal/cli/verb"
	"overland/internal/errs"
	"overland/internal/operator"
	"overland/internal/pipeline"
	"overland/internal/progress"
)

// Verbs returns the verbs, each ready to run.
func Verbs(t *term.Term) []*cobra.Command {
	return []*cobra.Command{verb.Group("pipeline", "Plan and run the pipelines of overland.yaml",
		"Pipelines run steps of a commit: commands, each in a copy of the files that it sees, confined as builds are. A step\n"+
			"that has passed with the same inputs is not run again.", plan(t, runPlan), run(t, runRun))}
}

type options struct {
	pipeline.Options
	json bool
}

// commonFlags adds those of both verbs.
func commonFlags(c *cobra.Command, o *options) {
	verb.SourceFlags(c, &o.Source)
	c.Flags().StringVarP(&o.Source.Dir, "source", "C", "", "folder of the repository (default: the current folder)")
	verb.JSONFlag(c, &o.json)
}

func plan(t *term.Term, do verb.Run[options]) *cobra.Command {
	var o options
	c := &cobra.Command{
		Use:   "plan [PIPELINE]",
		Short: "Show which steps would run, and why",
		Long: "Reads overland.yaml of a commit and says for each step whether it is remembered or would run, why, and when a site\n" +
			"runs the pipeline. Nothing is run or built. Without PIPELINE it shows all of them.",
		Example: "overland pipeline plan\noverland pipeline plan ci --json",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			o.Pipeline = verb.First(args, "")
			return do(c.Context(), t, o)
		},
	}
	commonFlags(c, &o)
	return c
}

func run(t *term.Term, do verb.Run[options]) *cobra.Command {
	var o options
	c := &cobra.Command{
		Use:   "run [PIPELINE]",
		Short: "Run the steps that are not remembered",
		Long: "Builds the artifacts that steps need and runs the steps that have not passed with the same inputs yet, each in a copy\n" +
			"of the files that it sees, confined as builds are: it fetches what overland.lock names and nothing else. A step\n" +
			"that does not pass ends the run with exit code 1, after the steps that do not need it.",
		Example: "overland pipeline run\noverland pipeline run ci --step unit --fresh\noverland pipeline run ci -j 4 --out kept",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			o.Pipeline = verb.First(args, "")
			return do(c.Context(), t, o)
		},
	}
	commonFlags(c, &o)
	c.Flags().StringSliceVar(&o.Steps, "step", nil, "only this step and what it needs; may be repeated")
	c.Flags().BoolVar(&o.Fresh, "fresh", false, "run also what is remembered, with empty caches")
	c.Flags().IntVarP(&o.Parallel, "jobs", "j", 1, "steps and artifacts at the same time")
	c.Flags().StringVarP(&o.Out, "out", "o", "", "copy the files that steps keep to DIR/STEP/PATH")
	return c
}

// Planned is one pipeline in the result of plan --json.
type Planned struct {
	pipeline.Plan
	When string `json:"when"` // a site runs it
}

func runPlan(ctx context.Context, t *term.Term, o options) error {
	plans, err := sitedir.First(t, func(p *operator.Operator) ([]pipeline.Plan, error) { return pipeline.Plans(ctx, p, o.Options) })
	if err != nil {
		return err
	}
	list := []Planned{}
	for _, p := range plans {
		list = append(list, Planned{p, p.When()})
	}
	if o.json {
		return t.JSON(list)
	}
	for i, p := range list {
		if i > 0 {
			t.Printf("\n")
		}
		t.Printf("%s of %s@%s: %s\n", p.Pipeline, p.App, p.Version, p.When)
		if len(p.Build) > 0 {
			t.Printf("  builds %s first\n", strings.Join(p.Build, ", "))
		}
		var rows [][]string
		for _, s := range p.Steps {
			rows = append(rows, []string{s.ID, string(s.State), dash(term.Short(string(s.Key))), s.Why})
		}
		t.Table("  ", "STEP STATE KEY WHY", rows)
	}
	return nil
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// Ran is the result of run --json.
type Ran struct {
	App      string `json:"app"`
	Version  string `json:"version"`
	Pipeline string `json:"pipeline"`
	Passed   bool   `json:"passed"`
	Steps    []Step `json:"steps"`
}

// Step is how one step of a run ended.
type Step struct {
	ID     string          `json:"id"`
	Result string          `json:"result"` // passed, flaky, remembered, failed, blocked
	Key    string          `json:"key,omitempty"`
	Tries  int             `json:"tries,omitempty"`
	Took   float64         `json:"took,omitempty"` // seconds, of the last try
	Tests  *pipeline.Tests `json:"tests,omitempty"`
	Kept   []pipeline.Kept `json:"kept,omitempty"`
	Log    string          `json:"log,omitempty"`
	Error  string          `json:"error,omitempty"`
	Hint   string          `json:"hint,omitempty"`
}

func runRun(ctx context.Context, t *term.Term, o options) error {
	p, err := sitedir.First(t, func(p *operator.Operator) (*pipeline.Plan, error) { return pipeline.Run(ctx, p, o.Options) })
	if p == nil {
		return err
	}
	out := Ran{App: p.App, Version: p.Version, Pipeline: p.Pipeline, Passed: err == nil}
	var rows [][]string
	for _, s := range p.Steps {
		one := Step{ID: s.ID, Result: string(s.State), Key: string(s.Key), Kept: s.Result.Kept, Tests: s.Result.Tests}
		if e, ran := p.Ended[s.ID]; ran {
			one = Step{ID: s.ID, Result: "passed", Key: string(s.Key), Tries: e.Tries, Took: e.Took, Tests: e.Tests, Kept: e.Kept, Log: e.Log}
			switch {
			case e.Err != nil:
				one.Result, one.Error, one.Hint = "failed", e.Err.Error(), errs.HintOf(e.Err)
			case e.Tries > 1:
				one.Result = "flaky"
			}
		}
		out.Steps = append(out.Steps, one)
		rows = append(rows, []string{one.ID, one.Result, note(one, s.Why)})
	}
	if o.json {
		if e := t.JSON(out); e != nil {
			return e
		}
		return err
	}
	t.Printf("%s of %s@%s\n", p.Pipeline, p.App, p.Version)
	t.Table("  ", "STEP RESULT NOTE", rows)
	for _, s := range out.Steps {
		printFailed(t, s)
	}
	return err
}

// note says what a person wants to know of s in a line.
func note(s Step, why string) string {
	var list []string
	if s.Tries > 1 {
		list = append(list, fmt.Sprintf("%d tries", s.Tries))
	}
	if s.Took > 0 {
		list = append(list, fmt.Sprintf("%.1f s", s.Took))
	}
	if s.Tests != nil {
		list = append(list, fmt.Sprintf("%s, %d failed", progress.Count(s.Tests.Total, "test", "tests"), s.Tests.Failed))
	}
	if len(s.Kept) > 0 {
		list = append(list, progress.Count(len(s.Kept), "file", "files")+" kept")
	}
	if len(list) == 0 {
		return why
	}
	return strings.Join(list, ", ")
}

// printFailed prints why s did not pass: its failed tests first.
func printFailed(t *term.Term, s Step) {
	if s.Error == "" {
		return
	}
	t.Printf("\n%s failed\n", s.ID)
	if s.Tests != nil {
		for _, f := range s.Tests.Failure {
			t.Printf("  %s\n", f.Name)
			for line := range strings.Lines(f.Says) {
				t.Printf("    %s\n", strings.TrimRight(line, "\r\n"))
			}
		}
	}
	t.Print(s.Error + "\n")
	if s.Hint != "" {
		t.Printf("hint: %s\n", s.Hint)
	}
	if s.Log != "" {
		t.Printf("log: %s\n", s.Log)
	}
}
