package sbom

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	packageurl "github.com/package-url/packageurl-go"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/nodeapi"
	"overland/internal/platform"
	"overland/internal/release"
	"overland/internal/release/inspect"
)

// Document is what one release is made of.
type Document struct {
	App, Version string
	Release      digest.Digest
	Commit       string
	Made         time.Time // the commit's
	Artifacts    []Artifact
}

// Artifact is one artifact for one platform.
type Artifact struct {
	Name         string
	Platform     platform.Platform
	Digest       digest.Digest
	Kind         Kind
	Distribution string      // "Debian GNU/Linux 13 (trixie)"; "" = none
	Components   []Component // sorted, without duplicates
	Without      []string    // dependencies of packages that no package meets: "base-files without awk"
}

// Kind is what an artifact is.
type Kind string

// The kinds of artifacts.
const (
	Program Kind = "program"
	Root    Kind = "root file system"
	Image   Kind = "image"
	Data    Kind = "file"
)

// Component is one package or module.
type Component struct {
	Type         string // as package URLs have it: "deb", "apk", "golang"
	Namespace    string // "debian"; "" for modules
	Name         string
	Version      string
	Architecture string // of a package
	Distro       string // "debian-13"
	Source       string // what it was built from, when that has another name
	Sum          string // "h1:…", of a module
}

// URL returns the package URL of c.
func (c Component) URL() string {
	namespace, name := c.Namespace, c.Name
	if c.Type == packageurl.TypeGolang {
		if at := strings.LastIndex(name, "/"); at >= 0 {
			namespace, name = name[:at], name[at+1:]
		}
	}
	var q packageurl.Qualifiers
	for _, one := range [][2]string{{"arch", c.Architecture}, {"distro", c.Distro}, {"upstream", c.Source}} {
		if one[1] != "" {
			q = append(q, packageurl.Qualifier{Key: one[0], Value: one[1]})
		}
	}
	return packageurl.NewPackageURL(c.Type, namespace, name, c.Version, q, "").ToString()
}

// Options choose a part of a release.
type Options struct {
	Artifact  string              // "" = all
	Platforms []platform.Platform // empty = all
	Present   bool                // what is not there is left out, as from a file for some platforms
}

// main reports whether c is a program's own module, whose version is that of the release.
func (c Component) main() bool { return c.Type == packageurl.TypeGolang && c.Version == "" }

// Of returns what the release d in b is made of. What b lacks of it is errs.NotFound.
func Of(ctx context.Context, b inspect.Blobs, d digest.Digest, o Options) (*Document, error) {
	r, err := release.Read(ctx, b, d)
	if err != nil {
		return nil, err
	}
	out := &Document{App: r.App, Version: r.Version, Release: d, Commit: r.Commit, Made: r.CommitTime}
	var names []string
	for _, a := range r.Artifacts {
		names = append(names, fmt.Sprintf("%s for %s", a.Name, a.Platform))
		if o.Artifact != "" && a.Name != o.Artifact || len(o.Platforms) > 0 && !slices.Contains(o.Platforms, a.Platform) {
			continue
		}
		one, err := artifact(ctx, b, a)
		if o.Present && errs.KindOf(err) == errs.NotFound {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("%s for %s: %w", a.Name, a.Platform, err)
		}
		for i := range one.Components { // a main module has the release's version
			if c := &one.Components[i]; c.main() {
				c.Version = r.Version
			}
		}
		slices.SortFunc(one.Components, compare)
		one.Components = slices.Compact(one.Components)
		out.Artifacts = append(out.Artifacts, one)
	}
	if len(out.Artifacts) == 0 {
		return nil, errs.Hint(errs.Errorf(errs.NotFound, "%s@%s has no such artifact", r.App, r.Version), "it has %s", strings.Join(names, ", "))
	}
	return out, nil
}

// Look returns what a, in b, is made of. The version of a program's own module is "" there: it is its release's.
func Look(ctx context.Context, b inspect.Blobs, a release.Artifact) (Artifact, error) {
	one, err := artifact(ctx, b, a)
	slices.SortFunc(one.Components, compare)
	one.Components = slices.Compact(one.Components)
	return one, err
}

func compare(a, b Component) int {
	return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Version, b.Version), cmp.Compare(a.Architecture, b.Architecture),
		cmp.Compare(a.Sum, b.Sum), cmp.Compare(a.Source, b.Source))
}

// artifact looks into a.
func artifact(ctx context.Context, b inspect.Blobs, a release.Artifact) (Artifact, error) {
	out := Artifact{Name: a.Name, Platform: a.Platform, Digest: a.Blob.Digest, Kind: Data}
	section, closer, err := b.Section(ctx, a.Blob.Digest)
	if errors.Is(err, fs.ErrNotExist) || errs.KindOf(err) == errs.NotFound {
		return out, errs.Hint(errs.E(errs.NotFound, err), "it was left out of this file, or of this depot")
	}
	if err != nil {
		return out, err
	}
	defer closer.Close()
	if a.Kind == release.KindImage {
		out.Kind = Image
		return out, image(ctx, b, a, &out)
	}
	if p, err := inspect.ReadProgram(section, section.Size()); err == nil {
		out.Kind, out.Components = Program, modules(p)
		return out, nil
	}
	t := &found{}
	if err := t.layer(ctx, section); err != nil || !t.root() {
		return out, ctx.Err() // a program in another language, or a file
	}
	out.Kind = Root
	return out, t.fill(&out)
}

// modules returns the Go modules of p, and its standard library.
func modules(p nodeapi.Program) (list []Component) {
	for _, m := range p.Modules {
		c := Component{Type: packageurl.TypeGolang, Name: m.Path, Version: m.Version, Sum: m.Sum}
		if path, version, ok := strings.Cut(m.Replace, " "); ok { // what was built in its place
			c.Name, c.Version = path, version
		}
		list = append(list, c)
	}
	if p.Go != "" {
		list = append(list, Component{Type: packageurl.TypeGolang, Name: "stdlib", Version: strings.TrimPrefix(p.Go, "go")})
	}
	return list
}
