package packages

import (
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"overland/internal/appfile/yamlfile"
	"overland/internal/builder/placed"
	"overland/internal/deb"
	"overland/internal/platform"
)

// Key is this builder's key in overland.yaml.
const Key = "package"

// Deb is the Format of Debian and what descends from it.
const Deb = "deb"

// Package is what stands under the key "package".
type Package struct {
	Format      string
	Name        string // "" = the artifact's name without -deb at its end
	Maintainer  string
	Description string // a line, and more about it after that
	Section     string // "" = misc
	Homepage    string
	License     string // a name, or a file of the commit: ./LICENSE
	Depends, Recommends,
	Conflicts, Replaces, Provides []string
	Files    map[string]File
	Users    map[string]string // system users, and their folders
	Services map[string]Service
}

// File is what is placed at a path; its Owner is "user:group", names on the machine.
type File = placed.File

// Service is what the service manager runs: a Unit, or what one is made of.
type Service struct {
	Unit    string   // a file of the commit
	Exec    []string // the program, and its arguments
	User    string   // one of Users; "" = root
	Env     map[string]string
	WorkDir string
}

// NoHome is the folder of a user that has none, as Debian calls it.
const NoHome = "/nonexistent"

var (
	packagePattern  = regexp.MustCompile(`^[a-z0-9][a-z0-9+.-]+$`)
	personPattern   = regexp.MustCompile(`^[^<>@,\x00-\x1f]+ <[^<>@\s\x00-\x1f]+@[^<>@\s\x00-\x1f]+>$`)
	somePattern     = regexp.MustCompile(`^\S`)
	sectionPattern  = regexp.MustCompile(`^[a-z][a-z0-9/-]*$`)
	urlPattern      = regexp.MustCompile(`^https?://[^\s\x00-\x1f]+$`)
	licensePattern  = regexp.MustCompile(`^[^\x00-\x1f]+$`)
	absolutePattern = regexp.MustCompile(`^(/[A-Za-z0-9@_+=:,.~-]+)+$`)
	homePattern     = regexp.MustCompile(`^(/[A-Za-z0-9_+.-]+)+$`)
	userPattern     = regexp.MustCompile(`^[a-z_][a-z0-9_-]{0,31}$`)
	ownerPattern    = regexp.MustCompile(`^[a-z_][a-z0-9_-]{0,31}:[a-z_][a-z0-9_-]{0,31}$`)
	servicePattern  = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,62}$`)
	envPattern      = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
)

const absoluteForm = "written like /usr/bin/wallet, of letters, digits and @_+=:,.~-"

// Keys returns the key "package" with all that stands under it. Its Settings are a *Package.
func Keys() yamlfile.Builder {
	relations := func(name, doc string, at func(*Package) *[]string) yamlfile.Key[Package] {
		return yamlfile.List(name, "relation", doc, somePattern, "written like libc6 (>= 2.36)", at).Then(func(d *yamlfile.Decoder, n yamlfile.Node, p *Package) {
			for _, r := range *at(p) {
				if list, err := deb.ParseRelations(r); err != nil || len(list) != 1 {
					d.Fail(n, "an entry each, written like libc6 (>= 2.36), or a | b", "%s: %.100q", name, r)
				}
			}
		})
	}
	b := yamlfile.NewBuilder(Key, "Builder key: a package of a distribution, made of other artifacts and files of the commit.", []yamlfile.Key[Package]{
		yamlfile.OneOf("format", "deb, the packages of Debian and what descends from it.", []string{Deb}, func(p *Package) *string { return &p.Format }).Must(),
		yamlfile.Text("name", "What the package is called; left out, the artifact's name without -deb at its end.", packagePattern,
			"small letters, digits and +.-, at least two of them", func(p *Package) *string { return &p.Name }),
		yamlfile.Text("maintainer", "Who is to be asked about it: Name <name@host>.", personPattern, "written like Name <name@host>",
			func(p *Package) *string { return &p.Maintainer }).Must(),
		yamlfile.Text("description", "What it is, in a line; after that as many lines about it as you like.", somePattern, "some text",
			func(p *Package) *string { return &p.Description }).Must(),
		yamlfile.Text("section", "The section of the archive: net, utils, …; misc when left out.", sectionPattern, "written like net", func(p *Package) *string { return &p.Section }),
		yamlfile.Text("homepage", "Its address in the web.", urlPattern, "an address that begins with https://", func(p *Package) *string { return &p.Homepage }),
		yamlfile.Text("license", "Its license: a name, or a file of the commit with its text, written like ./LICENSE.", licensePattern, "a line of text",
			func(p *Package) *string { return &p.License }).Then(func(d *yamlfile.Decoder, n yamlfile.Node, p *Package) {
			if strings.HasPrefix(p.License, "./") {
				placed.Local(d, n, p.License)
			}
		}),
		relations("depends", "Packages that it needs: libc6 (>= 2.36).", func(p *Package) *[]string { return &p.Depends }),
		relations("recommends", "Packages that are usually installed with it.", func(p *Package) *[]string { return &p.Recommends }),
		relations("conflicts", "Packages that cannot be installed beside it.", func(p *Package) *[]string { return &p.Conflicts }),
		relations("replaces", "Packages whose files it may take over.", func(p *Package) *[]string { return &p.Replaces }),
		relations("provides", "Names under which others may depend on it.", func(p *Package) *[]string { return &p.Provides }),
		yamlfile.Table("files", "What is in it, by path: an artifact, or a file or folder of the commit, written like ./etc/wallet.conf. Files below /etc are "+
			"configuration: what a person edits in them stays.", absolutePattern, absoluteForm,
			placed.Keys("Its owner and group, by name: root:wallet; root:root when left out.", ownerPattern, "written like root:wallet"), placed.Short(), func(p *Package) *map[string]File { return &p.Files }).Must(),
		yamlfile.Texts("users", "System users that it needs, by name: the folder of each, which it owns, or "+NoHome+".", userPattern, "a user's name, like wallet",
			func(p *Package) *map[string]string { return &p.Users }).Then(checkUsers),
		yamlfile.Table("services", "What the service manager starts, by name: a unit of the commit, written like ./deploy/wallet.service, or what it runs.", servicePattern,
			"a service's name, like wallet", serviceKeys(), shortService(), func(p *Package) *map[string]Service { return &p.Services }),
	})
	b.Example = "for a package: package: {format: deb, maintainer: …, description: …, files: {/usr/bin/app: ARTIFACT}}"
	read := b.Read
	b.Read = func(d *yamlfile.Decoder, n yamlfile.Node) any {
		got := read(d, n)
		if p, ok := got.(*Package); ok {
			p.check(d, n)
		}
		return got
	}
	return b
}

// check says what in p does not fit together.
func (p *Package) check(d *yamlfile.Decoder, n yamlfile.Node) {
	for _, at := range slices.Sorted(maps.Keys(p.Files)) {
		p.Files[at].Check(d, n, at)
		if path.Clean(at) != at {
			d.Fail(n, absoluteForm, "files: %.60q: not a clean path", at)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(p.Services)) {
		switch s := p.Services[name]; {
		case (s.Unit == "") == (len(s.Exec) == 0):
			d.Fail(n, "write a unit of the commit, or exec: [/usr/bin/wallet]", "service %s: one of unit and exec", name)
		case s.Unit == "" && !path.IsAbs(s.Exec[0]):
			d.Fail(n, "write its path: /usr/bin/wallet", "service %s: %.60q is not an absolute path", name, s.Exec[0])
		case s.User != "" && p.Users[s.User] == "":
			d.Fail(n, "name it under users", "service %s: no user %s", name, s.User)
		}
	}
}

// Lacks reports that there can be no package for q: an artifact that names no platforms is not made for q.
func (p *Package) Lacks(q platform.Platform) bool {
	_, err := architecture(q)
	return err != nil
}

// called returns the name of the package that the artifact of that name is.
func (p *Package) called(artifact string) string {
	if p.Name != "" {
		return p.Name
	}
	return strings.TrimSuffix(artifact, "-"+p.Format)
}

func checkUsers(d *yamlfile.Decoder, n yamlfile.Node, p *Package) {
	for _, name := range slices.Sorted(maps.Keys(p.Users)) {
		if home := p.Users[name]; !homePattern.MatchString(home) || path.Clean(home) != home {
			d.Fail(n, "written like /var/lib/wallet, or "+NoHome, "users: %s: folder %.60q", name, home)
		}
	}
}

// shortService is the short form of a Service.
func shortService() yamlfile.Key[Service] {
	return placed.LocalKey("unit", "", func(s *Service) *string { return &s.Unit })
}

func serviceKeys() []yamlfile.Key[Service] {
	return []yamlfile.Key[Service]{
		placed.LocalKey("unit", "The unit, a file of the commit: ./deploy/wallet.service.", func(s *Service) *string { return &s.Unit }),
		yamlfile.Words("exec", "The program that it runs, and its arguments.", func(s *Service) *[]string { return &s.Exec }),
		yamlfile.Text("user", "The user that it runs as, one of users; root when left out.", userPattern, "a user's name, like wallet", func(s *Service) *string { return &s.User }),
		yamlfile.Texts("env", "Environment variables.", envPattern, "a variable's name, like HOME", func(s *Service) *map[string]string { return &s.Env }),
		yamlfile.Text("workdir", "The folder that it starts in.", absolutePattern, absoluteForm, func(s *Service) *string { return &s.WorkDir }),
	}
}
