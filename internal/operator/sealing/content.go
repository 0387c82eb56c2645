package sealing

import (
	"context"
	"io"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"overland/internal/digest"
	"overland/internal/platform"
	"overland/internal/release"
	"overland/internal/store"
	"overland/internal/trust"
	"overland/internal/volume"
)

// Content returns c as a volume takes it. Blobs are read while that is written.
func (c *Choice) Content(ctx context.Context) (volume.Content, error) {
	v := volume.Content{
		Open:  func(d digest.Digest) (io.ReadCloser, error) { return c.depot.Open(ctx, d) },
		Blobs: c.extra,
	}
	var roots []ocispec.Descriptor
	for _, e := range c.all {
		// Index and document go in even without programs: what the channel runs
		// can be read from every volume.
		keep := func(release.Artifact) bool { return false }
		if e.wanted {
			keep = keepFor(e.Release, c.Platforms)
		}
		list, err := release.Closure(ctx, c.depot, e.Digest, keep)
		if err != nil {
			return v, err
		}
		v.Blobs = append(v.Blobs, list...)
		root := list[0]
		root.Annotations = map[string]string{
			ocispec.AnnotationRefName: e.Entry.Ref().String(), release.AnnotationChannel: string(c.o.Channel),
		}
		roots = append(roots, root)
		if e.Entry.App == release.AgentApp {
			v.Agents = agentsOf(e.Release, c.Platforms)
		}
	}
	var err error
	if v.Index, err = store.MarshalIndex(roots); err != nil {
		return v, err
	}
	v.Trust, err = c.metadata(ctx)
	return v, err
}

// keepFor returns the filter for those artifacts of r that machines of the platforms run.
func keepFor(r *release.Release, platforms []platform.Platform) func(release.Artifact) bool {
	keep := make(map[digest.Digest]bool)
	for _, plat := range platforms {
		for _, a := range r.For(plat) {
			keep[a.Manifest.Digest] = true
		}
	}
	return func(a release.Artifact) bool { return keep[a.Manifest.Digest] }
}

// agentsOf returns the agent programs by the platform that starts them.
func agentsOf(r *release.Release, platforms []platform.Platform) []volume.Agent {
	var list []volume.Agent
	for _, plat := range platforms {
		for _, a := range r.For(plat) {
			list = append(list, volume.Agent{Platform: plat, Digest: a.Blob.Digest, Size: a.Blob.Size})
		}
	}
	return list
}

// metadata returns the files that a client of the channel needs. What other channels and other
// applications say stays out: one project's file tells nothing of another project.
func (c *Choice) metadata(ctx context.Context) (_ map[string][]byte, err error) {
	needed := map[string]bool{c.o.Channel.Role(): true, release.FallbackRole(c.o.Channel): true}
	for path := range c.now.Targets(c.o.Channel.Role()) {
		needed[release.Role(strings.TrimPrefix(path, release.ChannelPath(c.o.Channel, "")))] = true
	}
	files := map[string][]byte{}
	for _, name := range c.now.Names() {
		if role := trust.RoleOf(name); release.Speaks(role) && !needed[role] {
			continue
		}
		if files[name], err = c.now.Metadata(ctx, name, trust.MaxTargets); err != nil {
			return nil, err
		}
	}
	return files, nil
}
