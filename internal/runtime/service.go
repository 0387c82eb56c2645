package runtime

import (
	"cmp"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"overland/internal/appfile"
	"overland/internal/digest"
	"overland/internal/errs"
)

// ProcessWord is the word of the runtime that runs plain processes; a
// service that names none means it.
const ProcessWord = "process"

// Word returns the word of the runtime that s asks for.
func Word(s appfile.Service) string { return cmp.Or(s.Runtime, ProcessWord) }

// Set holds the runtimes of one agent by the word that a service's runtime key has: "process". It
// is not changed once an agent has it.
type Set map[string]Runtime

// For returns the runtime that s asks for. One that the set lacks is errs.NotFound.
func (set Set) For(s appfile.Service) (Runtime, error) {
	if rt := set[Word(s)]; rt != nil {
		return rt, nil
	}
	return nil, errs.Hint(
		errs.Errorf(errs.NotFound, "this agent has no runtime %q; it has: %s", Word(s), strings.Join(slices.Sorted(maps.Keys(set)), ", ")),
		"a newer agent may have it: overland seal takes the newest one, overland-agent status shows this one's version")
}

// Service is one service of a generation as it was released, and where it is on this machine.
type Service struct {
	App, Version, Commit string
	Name                 string // within App
	Spec                 appfile.Service
	Artifacts            map[string]Artifact // App's, by name, those that are for this machine
	Home                 string              // folder of App's data, absolute
	User                 string              // whom it runs as when Spec names nobody
	Hidden               []string            // see Instance
	Log, Record          string              // files: see Instance
}

// Artifact is one artifact on this machine.
type Artifact struct {
	Path string // absolute
	Blob digest.Digest
}

// Instance returns s ready to be started by rt. Nothing is made on the disk.
func (s Service) Instance(rt Runtime) (Instance, error) {
	i := Instance{
		Name: s.App + "." + s.Name, Dir: s.Home, User: cmp.Or(s.Spec.User, s.User), Hidden: s.Hidden, Spec: s.Spec, Log: s.Log, Record: s.Record,
		Programs: map[string]string{}, Data: map[string]string{},
		Program: s.Artifacts[s.Spec.Artifact].Path, Blob: s.Artifacts[s.Spec.Artifact].Blob,
	}
	for name, a := range s.Artifacts {
		i.Programs[name] = a.Path
	}
	vars := map[string]string{"Release.App": s.App, "Release.Version": s.Version, "Release.Commit": s.Commit}
	for name := range s.Spec.Data {
		i.Data[name] = filepath.Join(s.Home, name)
		vars["Volumes."+name] = rt.DataPath(i, name)
	}
	if len(s.Spec.Files) > 0 { // by content: in another generation they are the same
		for name := range s.Spec.Files {
			vars["Files."+name] = string(s.Artifacts[name].Blob)
		}
		args, _ := Arguments(s.Spec, vars) // what is wrong is told below
		env, _ := Environ(s.Spec, vars)
		i.Same = []any{args, env}
		for name := range s.Spec.Files {
			vars["Files."+name] = s.Artifacts[name].Path
		}
	}
	i.Expand = func(text string) (string, error) { return Expand(text, vars) }
	var err error
	if i.Args, err = Arguments(s.Spec, vars); err == nil {
		i.Env, err = Environ(s.Spec, vars)
	}
	if err != nil {
		return i, fmt.Errorf("service %s: %w", i.Name, err)
	}
	return i, nil
}
