package golang

import (
	"cmp"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/module"

	"overland/internal/appfile"
	"overland/internal/errs"
	"overland/internal/platform"
)

// Wishes say what is proposed. The zero value leaves it all to Propose.
type Wishes struct {
	Name     string   // of the application; "" = what its module is called
	Below    string   // only commands in this folder, from the top, while there is one; "" = all
	Commands []string // only these, by the names that Propose gives; "all" = every one
}

// Proposal is an App for a repository.
type Proposal struct {
	App    *appfile.App
	Others []string // commands that were found and left out, sorted
	Port   int      // where its service seems to listen; 0 = not known, or no service
}

// most is how many commands are proposed without being asked for: each is built for every platform.
const most = 4

// Propose returns an App for the Go commands found in dir, for overland init. Each command is an
// artifact; of more than four only the likeliest one is, and the others are named. When that seems to
// serve something it is a service, with a self-test where a port is seen; the others are
// programs that people call, by the names of their folders. Commands that help to build or test the rest (below internal, tools,
// examples, …) are taken only when there are no others. Without any command the error is NotFound,
// with a hint.
func Propose(dir fs.FS, w Wishes) (*Proposal, error) {
	s := search{dir: dir, modules: map[string]string{}}
	if err := fs.WalkDir(dir, ".", s.visit); err != nil {
		return nil, fmt.Errorf("look for Go commands: %w", err)
	}
	list := narrow(s.found, func(f found) bool { return w.Below == "" || f.dir == w.Below || strings.HasPrefix(f.dir, w.Below+"/") })
	list = narrow(list, func(f found) bool { return !f.helper })
	if len(list) == 0 {
		return nil, errs.Hint(errs.Errorf(errs.NotFound, "there is no Go command here"),
			"run it in a repository that has a go.mod and a package main with a function main; what npm, make or a script builds: overland init --run 'sh build.sh' --output FILE")
	}
	names, first := s.names(list)
	app := &appfile.App{Overland: appfile.Version, Name: cmp.Or(PlainName(w.Name), s.appName(list, names[first])), Artifacts: map[string]appfile.Artifact{}}
	p := &Proposal{App: app}
	chosen, err := choose(names, first, w.Commands)
	if err != nil {
		return nil, err
	}
	for i, f := range list {
		if !slices.Contains(chosen, i) {
			p.Others = append(p.Others, names[i])
			continue
		}
		settings := &Program{Package: cmp.Or(strings.TrimSuffix("./"+below(f.module, f.dir), "/"), "."), Dir: notDot(f.module)}
		app.Artifacts[names[i]] = appfile.Artifact{Builder: Key, Settings: settings, Platforms: platform.All()}
	}
	slices.Sort(p.Others)
	if !slices.Contains(chosen, first) {
		first = chosen[0]
	}
	h, err := s.habitsOf(list[first])
	if err != nil {
		return nil, err
	}
	if h.points >= enough {
		p.Port = h.likeliest()
		app.Services = map[string]appfile.Service{names[first]: h.service(names[first])}
	}
	for _, i := range chosen {
		called := s.called(list[i])
		if called != strings.ToLower(called) || PlainName(called) != names[i] {
			called = names[i]
		}
		if app.Services[names[i]].Artifact != "" || appfile.CheckCommand(called) != nil {
			continue
		}
		if app.Commands == nil {
			app.Commands = map[string]string{}
		}
		app.Commands[called] = names[i]
	}
	return p, nil
}

// narrow returns what of list is wanted, or all of it when nothing is.
func narrow(list []found, want func(found) bool) []found {
	if !slices.ContainsFunc(list, want) {
		return list
	}
	return slices.DeleteFunc(slices.Clone(list), func(f found) bool { return !want(f) })
}

// service returns how a program with these habits runs.
func (h *habits) service(artifact string) appfile.Service {
	const within = appfile.Duration(60 * time.Second)
	s := appfile.Service{
		Artifact: artifact,
		Runtime:  "process",
		Restart:  appfile.Restart{Backoff: appfile.Backoff{Min: appfile.Duration(time.Second), Max: appfile.Duration(5 * time.Minute)}},
		Stable:   appfile.Duration(10 * time.Second),
	}
	if h.verb != "" {
		s.Args = []string{h.verb}
	}
	if port := h.likeliest(); port > 0 {
		s.SelfTest = []appfile.Check{{TCP: fmt.Sprintf("127.0.0.1:%d", port), Within: within}}
		if h.health != "" && len(h.ports) == 1 { // else it may be another port that speaks HTTP
			s.SelfTest = []appfile.Check{{HTTP: fmt.Sprintf("http://127.0.0.1:%d%s", port, h.health), Status: 200, Within: within}}
		}
	}
	return s
}

// choose returns which of names are proposed, by their index.
func choose(names []string, first int, wanted []string) (list []int, err error) {
	if len(wanted) == 0 && len(names) > most {
		return []int{first}, nil
	}
	for i, name := range names {
		if len(wanted) == 0 || slices.Contains(wanted, "all") || slices.Contains(wanted, name) {
			list = append(list, i)
		}
	}
	for _, name := range wanted {
		if name != "all" && !slices.Contains(names, name) {
			return nil, errs.Hint(errs.Errorf(errs.Invalid, "there is no Go command %q here", name), "there are: %s", strings.Join(slices.Sorted(slices.Values(names)), ", "))
		}
	}
	return list, nil
}

// generic are names that say what something is for its repository, not what it is called.
var generic = []string{"server", "cli", "cmd", "app", "api", "main", "go", "core", "src", "bin", "service"}

// names returns what the program that each of list makes is called, and which is the likeliest to be
// what the repository is about. A folder cmd/NAME has the first right to its name.
func (s *search) names(list []found) (names []string, likeliest int) {
	names = make([]string, len(list))
	taken := map[string]bool{}
	for _, first := range []bool{true, false} {
		for i, f := range list {
			if f.named != first {
				continue
			}
			as := PlainName(s.called(f))
			if taken[as] || as == "" {
				as = PlainName(f.dir)
			}
			for taken[as] || as == "" {
				as = PlainName("x-" + as)
			}
			taken[as], names[i] = true, as
		}
	}
	best := 0
	for i, f := range list {
		base := PlainName(s.baseName(f.module))
		if slices.Contains([]string{base, base + "d", base + "-server", base + "-daemon"}, names[i]) {
			f.score += 8
		}
		if i == 0 || f.score > best {
			likeliest, best = i, f.score
		}
	}
	return names, likeliest
}

// called returns what people call the program of f: its folder, or its module when the folder is named
// after nothing.
func (s *search) called(f found) string {
	base := path.Base(f.dir)
	if f.dir == f.module || base == "cmd" || base == "main" || base == "src" {
		return s.baseName(f.module)
	}
	return base
}

// baseName returns the last part of a module's path, without a major version; of a module that is a
// whole host, without its domain.
func (s *search) baseName(mod string) string {
	p := s.pathOf(mod)
	if name, _, ok := strings.Cut(p, "."); ok && !strings.Contains(p, "/") {
		return name
	}
	return strings.TrimSuffix(path.Base(p), ".git")
}

// appName returns what the repository is called: its module, or the one program that it is about when
// the module has a name of no meaning.
func (s *search) appName(list []found, program string) string {
	mod := list[0].module
	if _, ok := s.modules["."]; ok {
		mod = "."
	}
	base := PlainName(s.baseName(mod))
	// A module in a sub-folder may be named after that: shop/backend is of the repository shop.
	if repo, ok := strings.CutSuffix(s.pathOf(mod), "/"+mod); ok && strings.Contains(repo, "/") {
		base = PlainName(path.Base(repo))
	}
	if !slices.Contains(generic, base) && appfile.Reserved(base) == "" {
		return cmp.Or(base, "app")
	}
	if !slices.Contains(generic, program) && appfile.Reserved(program) == "" {
		return program
	}
	return cmp.Or(PlainName(path.Base(path.Dir(s.pathOf(mod)))+"-"+base), "app")
}

// pathOf returns the path of the module in the folder mod, without a major version.
func (s *search) pathOf(mod string) string {
	p := s.modules[mod]
	if prefix, _, ok := module.SplitPathVersion(p); ok {
		return prefix
	}
	return p
}

var notPlain = regexp.MustCompile(`[^a-z0-9]+`)

// PlainName returns s as a name that overland.yaml allows, or "".
func PlainName(s string) string {
	s = notPlain.ReplaceAllString(strings.ToLower(s), "-")
	s = strings.TrimLeft(s, "-0123456789")
	return strings.TrimRight(s[:min(len(s), 63)], "-")
}

// below returns dir as seen from mod; "" when they are the same.
func below(mod, dir string) string {
	if mod == dir {
		return ""
	}
	return strings.TrimPrefix(dir, strings.TrimPrefix(mod+"/", "./"))
}

func notDot(dir string) string {
	if dir == "." {
		return ""
	}
	return dir
}
