package image

import (
	"errors"
	"maps"
	"slices"

	"overland/internal/appfile"
	"overland/internal/builder"
	"overland/internal/builder/placed"
	"overland/internal/errs"
)

// Scratch is the Base of an image that stands on nothing, where a person has to name it.
const Scratch = "scratch"

// variables returns what {{.NAME}} stands for in i beside builder.Variables: its args, as Args.NAME.
func (i *Image) variables() map[string]string {
	m := map[string]string{}
	for name, value := range i.Args {
		m["Args."+name] = value
	}
	return m
}

// texts returns the places of all texts of i in which variables are replaced.
func (i *Image) texts() (list []*string) {
	for _, words := range [][]string{i.Entrypoint, i.Command} {
		for n := range words {
			list = append(list, &words[n])
		}
	}
	return append(list, &i.WorkingDir)
}

// NamesTag reports whether i cannot be built of a commit without a tag.
func (i *Image) NamesTag() bool { return builder.NamesTag(i.all()...) }

// all returns all texts of i in which variables are replaced.
func (i *Image) all() (list []string) {
	for _, at := range i.texts() {
		list = append(list, *at)
	}
	list = slices.AppendSeq(slices.AppendSeq(list, maps.Values(i.Env)), maps.Values(i.Labels))
	for at, f := range i.Files {
		list = append(list, at, f.Path)
	}
	return list
}

// unknown returns an error that names the first variable in i that nothing replaces.
func (i *Image) unknown() error {
	known := i.variables()
	for _, s := range i.all() {
		_, err := appfile.Expand(s, func(name, inside string) (string, error) {
			if _, ok := known[name]; ok || slices.Contains(builder.Variables(), name) {
				return "", nil
			}
			return "", errs.Errorf(errs.Invalid, "unknown variable {{%.60s}} in %.60q", inside, s)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// expanded returns i with its variables replaced.
func (i *Image) expanded(j *builder.Job) (*Image, error) {
	known, failed := i.variables(), error(nil)
	expand := func(s string) string {
		text, err := j.Expand(s, known)
		failed = errors.Join(failed, err)
		return text
	}
	out := *i
	out.Args = nil // what they decide stands in the texts
	out.Entrypoint, out.Command, out.Env, out.Labels = slices.Clone(i.Entrypoint), slices.Clone(i.Command), maps.Clone(i.Env), maps.Clone(i.Labels)
	for _, at := range out.texts() {
		*at = expand(*at)
	}
	for _, m := range []map[string]string{out.Env, out.Labels} {
		for name, value := range m {
			m[name] = expand(value)
		}
	}
	out.Files = map[string]File{}
	for at, f := range i.Files {
		at = expand(at)
		if _, twice := out.Files[at]; twice {
			failed = errors.Join(failed, errs.Errorf(errs.Invalid, "files: %.100q is there twice", at))
		}
		if f.Path = expand(f.Path); f.Path != "" && !placed.Below(f.Path) {
			failed = errors.Join(failed, errs.Errorf(errs.Invalid, "files: %.100q leaves the repository", f.Path))
		}
		out.Files[at] = f
	}
	return &out, errs.E(errs.Invalid, failed)
}

// Given is what a person gives beside overland.yaml: an image that differs from what the commit says.
type Given struct {
	Args map[string]string // by name, in place of the defaults
	Base []string          // artifacts, or Scratch; none = what overland.yaml says
}

// Apply returns artifacts with g applied to each image among them. Of several bases it makes one image each, called
// NAME-BASE. A name that no image knows is errs.Invalid.
func (g Given) Apply(artifacts map[string]appfile.Artifact) (map[string]appfile.Artifact, error) {
	out, used, images := map[string]appfile.Artifact{}, map[string]bool{}, 0
	for _, base := range g.Base {
		if a, ok := artifacts[base]; base != Scratch && (!ok || a.Builder == Key) {
			return nil, errs.Hint(errs.Errorf(errs.NotFound, "base %.100q: there is no such artifact that an image can stand on", base),
				"name an artifact of %s that is one tar, or %s", appfile.FileName, Scratch)
		}
	}
	for name, a := range artifacts {
		i, ok := a.Settings.(*Image)
		if !ok {
			out[name] = a
			continue
		}
		images++
		with := *i
		with.Args = maps.Clone(i.Args)
		for arg, value := range g.Args {
			if _, ok := i.Args[arg]; ok {
				with.Args[arg], used[arg] = value, true
			}
		}
		bases := g.Base
		if len(bases) == 0 {
			bases = []string{i.Base}
		}
		for _, base := range bases {
			one, called := with, name
			if len(bases) > 1 {
				called += "-" + base
			}
			if one.Base = base; base == Scratch {
				one.Base = ""
			}
			if _, twice := out[called]; twice || called != name && artifacts[called].Builder != "" {
				return nil, errs.Errorf(errs.Invalid, "base %s: there is an artifact %s already", base, called)
			}
			out[called] = appfile.Artifact{Builder: a.Builder, Settings: &one, Platforms: a.Platforms}
		}
	}
	for arg := range g.Args {
		if !used[arg] {
			return nil, errs.Hint(errs.Errorf(errs.NotFound, "no image has an argument %.100q", arg), "give it a default: args: {%.60s: …} under image in %s", arg, appfile.FileName)
		}
	}
	if len(g.Base) > 0 && images == 0 {
		return nil, errs.Errorf(errs.NotFound, "a base, and no image in %s", appfile.FileName)
	}
	return out, nil
}
