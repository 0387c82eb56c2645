package builder

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"overland/internal/appfile"
	"overland/internal/errs"
	"overland/internal/platform"
)

// target is what a Job makes.
type target struct {
	artifact string
	platform platform.Platform
}

// needs returns the names of the artifacts that a is made of.
func needs(req Request, a appfile.Artifact) []string {
	if c, ok := req.Builders[a.Builder].(Composer); ok {
		return c.Needs(a)
	}
	return nil
}

// checkNeeds refuses an artifact that is made of itself, of one that is not there, or of one that is not made
// for its platforms.
func checkNeeds(req Request, jobs []Job) error {
	for _, j := range jobs {
		if err := checkNeedsOf(req, j.Name, j.Platform, nil); err != nil {
			return err
		}
	}
	return nil
}

func checkNeedsOf(req Request, name string, p platform.Platform, above []string) error {
	if slices.Contains(above, name) {
		return errs.Errorf(errs.Invalid, "artifact %s is made of itself: %s", name, strings.Join(append(above, name), " → "))
	}
	above = append(slices.Clone(above), name)
	for _, of := range needs(req, req.App.Artifacts[name]) {
		a, ok := req.App.Artifacts[of]
		switch {
		case !ok:
			return errs.Hint(errs.Errorf(errs.Invalid, "artifact %s is made of %q, which is not there", name, of), "name an artifact of %s", appfile.FileName)
		case !a.For(p):
			return errs.Hint(errs.Errorf(errs.Invalid, "artifact %s for %s is made of %s, which is not made for it", name, p, of),
				"name the platforms of both in %s", appfile.FileName)
		}
		if err := checkNeedsOf(req, of, p, above); err != nil {
			return err
		}
	}
	return nil
}

// begin makes ready what result returns: each job and each artifact that it is made of, which is made once.
func (r *run) begin(ctx context.Context, jobs []Job) {
	r.results = map[target]func() (Built, error){}
	var add func(j Job)
	add = func(j Job) {
		at := target{j.Name, j.Platform}
		if r.results[at] != nil {
			return
		}
		// The first caller makes it, and the others wait. Two never wait for each other: checkNeeds refused cycles.
		r.results[at] = sync.OnceValues(func() (Built, error) { return r.one(ctx, j) })
		for _, of := range needs(r.req, j.Artifact) {
			need := j
			need.Name, need.Artifact, need.turn = of, r.req.App.Artifacts[of], ""
			add(need)
		}
	}
	for _, j := range jobs {
		add(j)
	}
}

func (r *run) result(name string, p platform.Platform) (Built, error) {
	return r.results[target{name, p}]()
}

// needs returns the results that j is made of.
func (r *run) needs(b Builder, j Job) (map[string]Built, error) {
	c, ok := b.(Composer)
	if !ok {
		return nil, nil
	}
	made := map[string]Built{}
	for _, of := range c.Needs(j.Artifact) {
		got, err := r.result(of, j.Platform)
		if err != nil {
			return nil, fmt.Errorf("for %s: %w", j.Name, err)
		}
		made[of] = got
	}
	return made, nil
}
