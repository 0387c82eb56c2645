package sbom

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	packageurl "github.com/package-url/packageurl-go"

	"overland/internal/alpine"
	"overland/internal/archive"
	"overland/internal/deb"
	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/release"
	"overland/internal/release/inspect"
	"overland/internal/store"
)

// Limits of what is read of one root file system, which somebody else may have made.
const (
	programMost  = 512 << 20 // a program in an image, held while it is looked at
	heldMost     = 128 << 20 // all that is remembered of a root
	packagesMost = 1 << 17   // that its databases list
)

// found is what was found in the layers of a root, the upper over the lower.
type found struct {
	release []byte // os-release
	files   archive.Layered[item]
	held    int64
	inImage bool // programs are looked for
}

// item is a file of a root: of a package database, or a program.
type item struct {
	database []byte // nil = it is a program
	program  []Component
}

// size returns how many bytes are remembered of it, about. A hard link to it counts as much: it is listed once more.
func (i item) size() int64 {
	size := int64(len(i.database))
	for _, c := range i.program {
		const fields = 256
		size += fields + int64(len(c.Name)+len(c.Version)+len(c.Sum))
	}
	return size
}

// keep notes one, of size bytes, for the file called name.
func (t *found) keep(name string, one item, size int64) error {
	if t.held += size; t.held > heldMost {
		return fmt.Errorf("%w: more than %d bytes of package databases and modules", archive.ErrBomb, heldMost)
	}
	return t.files.Set(name, one)
}

// databaseOf reports whether name is a file of a package database.
func databaseOf(name string) bool {
	switch name {
	case "var/lib/dpkg/status", "lib/apk/db/installed", "usr/lib/apk/db/installed":
		return true
	}
	return path.Dir(name) == "var/lib/dpkg/status.d" && path.Ext(name) != ".md5sums"
}

func releaseFile(name string) bool { return name == "usr/lib/os-release" || name == "etc/os-release" }

// root reports whether there is a root file system.
func (t *found) root() bool {
	for _, one := range t.files.All {
		if one.database != nil {
			return true
		}
	}
	return t.release != nil
}

// layer reads a tar.
func (t *found) layer(ctx context.Context, r io.Reader) error {
	return errs.E(errs.Invalid, t.files.Layer(ctx, r, archive.RootBounds, t.member))
}

func (t *found) member(h *tar.Header, r io.Reader) (err error) {
	linked, known := t.files.Get(h.Linkname) // of any layer, and before what this member takes away
	name, put := t.files.Lay(h.Name, h.Typeflag == tar.TypeDir)
	switch {
	case put && h.Typeflag == tar.TypeLink && known:
		return t.keep(name, linked, linked.size())
	case put && h.Typeflag == tar.TypeLink && databaseOf(name):
		return errs.Errorf(errs.Invalid, "/%s is a hard link to /%.200s, which is not a package database", name, h.Linkname)
	case !put || h.Typeflag != tar.TypeReg:
		return nil
	}
	switch {
	case databaseOf(name):
		if h.Size > heldMost {
			return fmt.Errorf("%w: %s has %d bytes", archive.ErrBomb, name, h.Size)
		}
		b, err := fsx.Read(r, name, heldMost)
		if err != nil {
			return err
		}
		return t.keep(name, item{database: append([]byte{}, b...)}, h.Size)
	case releaseFile(name):
		const most = 64 << 10
		t.release, err = fsx.Read(r, name, most)
	case t.inImage && h.Size > 0 && h.Size < programMost:
		magic := make([]byte, 4)
		if _, err := io.ReadFull(r, magic); err != nil || string(magic) != "\x7fELF" {
			return nil //nolint:nilerr // the next member says whether the tar is at fault
		}
		b, err := fsx.Read(io.MultiReader(bytes.NewReader(magic), r), name, programMost)
		if err != nil {
			return err
		}
		p, err := inspect.ReadProgram(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			return nil //nolint:nilerr // another program
		}
		one := item{program: modules(p)}
		return t.keep(name, one, one.size())
	}
	return err
}

// fill puts what was found into a.
func (t *found) fill(a *Artifact) error {
	distro := osRelease(t.release)
	a.Distribution = distro["PRETTY_NAME"]
	id, version := distro["ID"], distro["VERSION_ID"]
	left := packagesMost
	var all []installed
	for name, one := range t.files.All {
		if one.database == nil {
			a.Components = append(a.Components, one.program...)
			continue
		}
		list, err := packages(name, one.database, left)
		if err != nil {
			return errs.E(errs.Invalid, fmt.Errorf("/%s: %w", name, err))
		}
		left -= len(list)
		all = append(all, list...)
		for _, p := range list {
			c := p.Component
			c.Namespace = id
			if id != "" && version != "" {
				c.Distro = id + "-" + version
			}
			a.Components = append(a.Components, c)
		}
	}
	a.Without = without(all)
	return nil
}

// installed is a package of a root, with what it needs and what it is.
type installed struct {
	Component
	needs    [][]string // of each list one
	provides []string
}

// without returns the dependencies that nothing in all meets, whatever the version, "base-files without awk", sorted.
func without(all []installed) (list []string) {
	there := map[string]bool{}
	for _, p := range all {
		there[p.Name] = true
		for _, name := range p.provides {
			there[name] = true
		}
	}
	for _, p := range all {
		for _, names := range p.needs {
			if !slices.ContainsFunc(names, func(name string) bool { return there[name] }) {
				list = append(list, p.Name+" without "+strings.Join(names, " | "))
			}
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// osRelease returns the variables of an os-release(5) file.
func osRelease(b []byte) map[string]string {
	vars := map[string]string{}
	for line := range strings.Lines(string(b)) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		if ok && !strings.HasPrefix(name, "#") {
			vars[name] = strings.Trim(value, `"'`)
		}
	}
	return vars
}

// packages returns those that the database called name lists as installed, at most that many.
func packages(name string, b []byte, most int) (list []installed, err error) {
	more := func(c installed) error {
		if len(list) == most {
			return fmt.Errorf("%w: more than %d packages", archive.ErrBomb, packagesMost)
		}
		list = append(list, c)
		return nil
	}
	if strings.Contains(name, "apk/db") {
		err = alpine.ReadInstalled(bytes.NewReader(b), func(p *alpine.Info) error {
			one := installed{Component: Component{Type: packageurl.TypeApk, Name: p.Name, Version: p.Version, Architecture: p.Architecture, Source: other(p.Origin, p.Name)}}
			for _, d := range p.Depends {
				if !d.Not {
					one.needs = append(one.needs, []string{d.Name})
				}
			}
			for _, d := range p.Provides {
				one.provides = append(one.provides, d.Name)
			}
			return more(one)
		})
		return list, err
	}
	d := deb.NewDecoder(bytes.NewReader(b), "package", "version", "architecture", "source", "status", "pre-depends", "depends", "provides")
	for {
		p, err := d.Next()
		if errors.Is(err, io.EOF) {
			return list, nil
		}
		if err != nil {
			return nil, err
		}
		if p["package"] == "" || p["status"] != "" && !strings.HasSuffix(p["status"], " installed") {
			continue
		}
		source, _, _ := strings.Cut(p["source"], " ")
		one := installed{
			Component: Component{Type: packageurl.TypeDebian, Name: p["package"], Version: p["version"], Architecture: p["architecture"], Source: other(source, p["package"])},
			needs:     slices.Concat(names(p["pre-depends"]), names(p["depends"])), provides: slices.Concat(names(p["provides"])...),
		}
		if err := more(one); err != nil {
			return nil, err
		}
	}
}

// names returns those that a field of relations has; none when it does not parse.
func names(field string) (list [][]string) {
	all, err := deb.ParseRelations(strings.ReplaceAll(field, "\n", " "))
	if err != nil {
		return nil
	}
	for _, alternatives := range all {
		var one []string
		for _, r := range alternatives {
			one = append(one, r.Name)
		}
		list = append(list, one)
	}
	return list
}

// other returns source unless it is name.
func other(source, name string) string {
	if source == name {
		return ""
	}
	return source
}

// image reads the layers of the image a, the lowest first.
func image(ctx context.Context, b inspect.Blobs, a release.Artifact, out *Artifact) error {
	manifest, err := b.Bytes(ctx, a.Blob.Digest, store.ManifestLimit)
	if err != nil {
		return err
	}
	children, err := store.Children(ocispec.MediaTypeImageManifest, manifest)
	if err != nil {
		return err
	}
	t := &found{inImage: true}
	for _, layer := range children[1:] { // the first is the config
		if err := t.packed(ctx, b, layer.Digest); err != nil {
			return fmt.Errorf("layer %s: %w", layer.Digest, err)
		}
	}
	return t.fill(out)
}

// packed reads the layer d, compressed or not.
func (t *found) packed(ctx context.Context, b inspect.Blobs, d digest.Digest) error {
	section, closer, err := b.Section(ctx, d)
	if err != nil {
		return err
	}
	defer closer.Close()
	in, done, err := archive.Unpacked(section)
	if err != nil {
		return errs.E(errs.Invalid, err)
	}
	defer done()
	return t.layer(ctx, in)
}

// Packages returns the packages of the root file system that the tar r, packed or not, is, and the name of its
// distribution. A tar in which there is none is errs.Invalid.
func Packages(ctx context.Context, r io.Reader) (*Artifact, error) {
	in, done, err := archive.Unpacked(r)
	if err != nil {
		return nil, errs.E(errs.Invalid, err)
	}
	defer done()
	t := &found{}
	if err := t.layer(ctx, in); err != nil {
		return nil, err
	}
	if !t.root() {
		return nil, errs.Errorf(errs.Invalid, "no root file system: it names no distribution and no packages")
	}
	a := &Artifact{Kind: Root}
	if err := t.fill(a); err != nil {
		return nil, err
	}
	slices.SortFunc(a.Components, compare)
	return a, nil
}
