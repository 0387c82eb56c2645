package rootfs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"overland/internal/deb"
	"overland/internal/deb/maintscript"
	"overland/internal/errs"
)

// kept are the control files that say what a package does when it is installed, beside "control" and "md5sums".
var kept = []string{"preinst", "postinst", "templates", "triggers"}

// install does what the packages in list do when they are installed, whose files are all in t: each preinst, then each
// postinst after those of what it depends on.
func install(ctx context.Context, t *tree, root *Root, list []*candidate) error {
	if err := t.complete(); err != nil {
		return err
	}
	s := &scripts{t: t, list: list, skip: root.SkipScripts, system: maintscript.New(files{t}, t.latest)}
	ordered := inOrder(list)
	for _, step := range [][]string{{"preinst", "install"}, {"postinst", "configure", ""}} {
		for _, c := range ordered {
			if err := s.run(ctx, c, step[0], step[1:]...); err != nil {
				return err
			}
		}
	}
	const rounds = 10 // of triggers that activate others
	for range rounds {
		for _, name := range s.system.Triggers() {
			for _, c := range list {
				if c.interested(name) {
					if err := s.run(ctx, c, "postinst", "triggered", name); err != nil {
						return err
					}
				}
			}
		}
	}
	return cmp.Or(s.system.Finish(), t.complete())
}

// scripts are those of the packages in list, while they are installed in t.
type scripts struct {
	t      *tree
	list   []*candidate
	skip   []string
	system *maintscript.System
}

// run runs the script called name of c.
func (s *scripts) run(ctx context.Context, c *candidate, name string, args ...string) error {
	switch text, there := c.scripts[name]; {
	case slices.Contains(s.skip, c.Name):
	case actions[c.Name] != nil:
		if name == "postinst" && args[0] == "configure" {
			if err := actions[c.Name](s.t); err != nil {
				return fmt.Errorf("%s: what its scripts do: %w", c.Name, err)
			}
		}
	case there:
		err := s.system.Run(ctx, s.of(c), name, text, args...)
		var unknown *maintscript.UnknownError
		if errors.As(err, &unknown) || errs.KindOf(err) == errs.Invalid {
			return without(errs.E(errs.Invalid, fmt.Errorf("%s: its %s: %w", c.Name, name, err)), c.Name)
		}
		return err
	}
	return nil
}

// of is c as its scripts know it.
func (s *scripts) of(c *candidate) maintscript.Package {
	return maintscript.Package{
		Name: c.Name, Version: c.Version, Architecture: c.Architecture, Templates: c.scripts["templates"],
		Files: func(of string) (names []string) {
			for name, e := range s.t.entries {
				if e.of != nil && e.of.called() == of {
					names = append(names, name)
				}
			}
			slices.Sort(names)
			return names
		},
		Installed: func(name string) string {
			name, _, _ = strings.Cut(name, ":")
			if at := slices.IndexFunc(s.list, func(c *candidate) bool { return c.Name == name }); at >= 0 {
				return s.list[at].Version
			}
			return ""
		},
	}
}

// interested reports whether the package c wants to be told of the trigger name.
func (c *candidate) interested(name string) bool {
	for line := range strings.Lines(string(c.scripts["triggers"])) {
		if words := strings.Fields(line); len(words) == 2 && strings.HasPrefix(words[0], "interest") && words[1] == name {
			return true
		}
	}
	return false
}

// inOrder returns list with users and their folders first, and then each package after those that it depends on, as far
// as they go in a line.
func inOrder(list []*candidate) (ordered []*candidate) {
	seen := map[*candidate]bool{}
	for _, name := range []string{"base-passwd", "base-files"} {
		if at := slices.IndexFunc(list, func(c *candidate) bool { return c.Name == name }); at >= 0 {
			ordered = append(ordered, list[at])
			seen[list[at]] = true
		}
	}
	var visit func(c *candidate)
	visit = func(c *candidate) {
		if seen[c] {
			return
		}
		seen[c] = true
		for _, a := range slices.Concat(c.PreDepends, c.Depends) {
			for _, r := range a {
				for _, other := range list {
					if other.Name == r.Name || slices.ContainsFunc(other.Provides, func(p deb.Alternatives) bool { return p[0].Name == r.Name }) {
						visit(other)
					}
				}
			}
		}
		ordered = append(ordered, c)
	}
	for _, c := range list {
		visit(c)
	}
	return ordered
}
