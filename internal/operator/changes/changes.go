package changes

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"overland/internal/digest"
	"overland/internal/platform"
	"overland/internal/release"
	"overland/internal/release/inspect"
	"overland/internal/sbom"
	"overland/internal/store"
)

// Side is one of two that are compared.
type Side struct {
	Name  string // "wallet@r412.abc", or a file's
	Blobs inspect.Blobs
	*release.Release
}

// Changes are what differs from one side to the other.
type Changes struct {
	From      string     `json:"from"`
	To        string     `json:"to"`
	Same      bool       `json:"same"`
	Facts     []Change   `json:"facts,omitempty"` // of the whole: commit, toolchain
	Artifacts []Artifact `json:"artifacts,omitempty"`
	Services  []Part     `json:"services,omitempty"`
}

// Change is one thing that was and is; "" = it was or is not there.
type Change struct {
	What string `json:"what"`
	Was  string `json:"was,omitempty"`
	Is   string `json:"is,omitempty"`
}

// Part is a service, and what differs of it.
type Part struct {
	Name    string   `json:"name"`
	Changes []Change `json:"changes"`
}

// Artifact is an artifact for one platform that differs. Without Was it is new, without Is it is gone.
type Artifact struct {
	Name     string            `json:"name"`
	Platform platform.Platform `json:"platform,omitempty"`
	Was      *Sized            `json:"was,omitempty"`
	Is       *Sized            `json:"is,omitempty"`
	Absent   bool              `json:"absent,omitempty"` // one side lacks its bytes, as a volume for some platforms does
	Packages []Change          `json:"packages,omitempty"`
	Config   []Change          `json:"config,omitempty"` // of an image: user, ports, entry point, …
	Files    []FileChange      `json:"files,omitempty"`
}

// Sized is a version of an artifact.
type Sized struct {
	Digest digest.Digest `json:"digest"`
	Size   int64         `json:"size"` // bytes; of an image with its layers
}

// FileChange is a file of a root file system or an image that differs.
type FileChange struct {
	Path string `json:"path"`
	Was  *File  `json:"was,omitempty"`
	Is   *File  `json:"is,omitempty"`
}

// Between returns what differs from side a to side b.
func Between(ctx context.Context, a, b Side) (*Changes, error) {
	c := &Changes{From: a.Name, To: b.Name}
	for _, f := range []Change{{"commit", a.Commit, b.Commit}, {"toolchain", a.Toolchain, b.Toolchain}, {"overland.yaml", string(a.Spec), string(b.Spec)}} {
		if f.Was != f.Is {
			c.Facts = append(c.Facts, f)
		}
	}
	type key struct {
		name string
		p    platform.Platform
	}
	before, after := map[key]*release.Artifact{}, map[key]*release.Artifact{}
	var order []key
	for _, side := range []struct {
		of *release.Release
		to map[key]*release.Artifact
	}{{a.Release, before}, {b.Release, after}} {
		for i := range side.of.Artifacts {
			one := &side.of.Artifacts[i]
			k := key{one.Name, one.Platform}
			if before[k] == nil && after[k] == nil {
				order = append(order, k)
			}
			side.to[k] = one
		}
	}
	for _, k := range order {
		was, is := before[k], after[k]
		if was != nil && is != nil && was.Blob.Digest == is.Blob.Digest {
			continue
		}
		one, err := artifact(ctx, a, b, was, is)
		if err != nil {
			return nil, fmt.Errorf("%s for %s: %w", k.name, k.p, err)
		}
		one.Name, one.Platform = k.name, k.p
		c.Artifacts = append(c.Artifacts, one)
	}
	names := slices.Compact(slices.Sorted(func(yield func(string) bool) {
		for _, m := range []*release.Release{a.Release, b.Release} {
			for name := range m.Services {
				if !yield(name) {
					return
				}
			}
		}
	}))
	for _, name := range names {
		was, had := a.Services[name]
		is, has := b.Services[name]
		list, err := fields(pick(had, was), pick(has, is))
		if err != nil {
			return nil, err
		}
		if len(list) > 0 {
			c.Services = append(c.Services, Part{name, list})
		}
	}
	c.Same = len(c.Facts)+len(c.Artifacts)+len(c.Services) == 0
	return c, nil
}

// pick returns v if it is there.
func pick(there bool, v any) any {
	if there {
		return v
	}
	return struct{}{}
}

// fields returns which fields of two values differ, as JSON has them.
func fields(a, b any) ([]Change, error) {
	was, err := object(a)
	if err != nil {
		return nil, err
	}
	is, err := object(b)
	if err != nil {
		return nil, err
	}
	all := maps.Clone(was)
	maps.Copy(all, is)
	var list []Change
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if string(was[name]) != string(is[name]) {
			list = append(list, Change{name, string(was[name]), string(is[name])})
		}
	}
	return list, nil
}

func object(v any) (map[string]json.RawMessage, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	m := map[string]json.RawMessage{}
	return m, json.Unmarshal(b, &m)
}

// looked is what is seen of one version of an artifact.
type looked struct {
	packages map[string]string // name → versions
	config   any
	files    tree
}

// artifact compares was on side a with is on side b; either may be nil.
func artifact(ctx context.Context, a, b Side, was, is *release.Artifact) (out Artifact, err error) {
	var seen [2]looked
	for i, one := range []struct {
		side Side
		of   *release.Artifact
		to   **Sized
	}{{a, was, &out.Was}, {b, is, &out.Is}} {
		seen[i].config = struct{}{}
		if one.of == nil {
			continue
		}
		*one.to = &Sized{one.of.Blob.Digest, one.of.Blob.Size}
		section, closer, err := one.side.Blobs.Section(ctx, one.of.Blob.Digest)
		if err != nil {
			out.Absent = true
			continue
		}
		if err := closer.Close(); err != nil {
			return out, err
		}
		(*one.to).Size = section.Size()
		if seen[i], err = look(ctx, one.side.Blobs, *one.of, *one.to); err != nil {
			return out, err
		}
	}
	if out.Absent || was == nil || is == nil {
		return out, nil // what is in a thing that came or went is for inspect to say
	}
	for _, name := range keys(seen[0].packages, seen[1].packages) {
		if x, y := seen[0].packages[name], seen[1].packages[name]; x != y {
			out.Packages = append(out.Packages, Change{name, x, y})
		}
	}
	if out.Config, err = fields(seen[0].config, seen[1].config); err != nil {
		return out, err
	}
	for _, name := range keys(seen[0].files, seen[1].files) {
		x, had := seen[0].files[name]
		y, has := seen[1].files[name]
		if had && has && x == y {
			continue
		}
		f := FileChange{Path: "/" + name}
		if had {
			f.Was = &x
		}
		if has {
			f.Is = &y
		}
		out.Files = append(out.Files, f)
	}
	return out, nil
}

func keys[V any](a, b map[string]V) []string {
	all := maps.Clone(a)
	if all == nil {
		all = map[string]V{}
	}
	maps.Copy(all, b)
	return slices.Sorted(maps.Keys(all))
}

// look reads what is in a, and gives size its whole length.
func look(ctx context.Context, b inspect.Blobs, a release.Artifact, size *Sized) (l looked, err error) {
	l = looked{packages: map[string]string{}, config: struct{}{}}
	parts, err := sbom.Look(ctx, b, a)
	if err != nil {
		return l, err
	}
	if parts.Distribution != "" {
		l.packages["distribution"] = parts.Distribution
	}
	versions := map[string][]string{} // sorted, as parts are
	for _, c := range parts.Components {
		name := c.Type + " " + c.Name
		versions[name] = append(versions[name], cmp.Or(c.Version, "(the release's)"))
	}
	for name, list := range versions { // several, where parts of an image have others
		l.packages[name] = strings.Join(slices.Compact(list), ", ")
	}
	if parts.Kind == sbom.Program {
		return l, nil
	}
	if l.files, err = filesOf(ctx, b, a); err != nil || a.Kind != release.KindImage {
		return l, err
	}
	if size.Size, err = a.Whole(ctx, b); err != nil {
		return l, err
	}
	manifest, err := b.Bytes(ctx, a.Blob.Digest, store.ManifestLimit)
	if err != nil {
		return l, err
	}
	var m ocispec.Manifest
	if err := json.Unmarshal(manifest, &m); err != nil {
		return l, err
	}
	text, err := b.Bytes(ctx, m.Config.Digest, store.ManifestLimit)
	if err != nil {
		return l, err
	}
	var config ocispec.Image
	err = json.Unmarshal(text, &config)
	l.config = config.Config
	return l, err
}
