package publisher

import (
	"context"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"overland/internal/appfile"
	"overland/internal/clock"
	"overland/internal/digest"
	"overland/internal/fsx"
	"overland/internal/platform"
	"overland/internal/release"
	"overland/internal/store"
	storedir "overland/internal/store/dir"
	"overland/internal/trust/keys"
	"overland/internal/trust/repository"
	"overland/internal/volume"
)

// Operator holds a depot and a signed repository below one directory:
// dir/depot, dir/trust, dir/keys.
type Operator struct {
	T      testing.TB
	Dir    string
	Depot  *storedir.Store
	Repo   *repository.Repository
	Inputs *ocispec.Descriptor // of the releases from now on
	Data   []string            // artifacts of the releases from now on that are no programs
	Origin release.Origin      // of the releases from now on

	Commands map[string]string // of the releases from now on

	keys *keys.Dir
}

// Repository is where the history of New's releases begins.
const Repository = "6f4a1c0000000000000000000000000000000001"

// New makes an operator below dir, whose clock is c (nil = the machine's).
func New(t testing.TB, dir string, c clock.Clock) *Operator {
	t.Helper()
	o := &Operator{T: t, Dir: dir, Origin: release.Origin{Repository: Repository}}
	keys, err := keys.Open(filepath.Join(dir, "keys"), keys.Options{})
	o.must(err)
	o.keys = keys
	o.Repo, err = repository.Init(context.Background(), repository.Dir(filepath.Join(dir, "trust"), fsx.FS{}), keys,
		repository.InitOptions{Options: repository.Options{Clock: c}})
	o.must(err)
	o.Depot, err = storedir.Open(filepath.Join(dir, "depot"), storedir.Options{})
	o.must(err)
	return o
}

func (o *Operator) must(err error) {
	o.T.Helper()
	if err != nil {
		o.T.Fatal(err)
	}
}

// Root returns the fingerprint of the root of trust.
func (o *Operator) Root() string { return string(o.Repo.Fingerprint()) }

// Release publishes app@version. programs maps "artifact platform" to content, or "artifact" for
// linux/amd64. It returns the version: that of the agent says which programs it is.
func (o *Operator) Release(app, version string, programs map[string]string, services map[string]appfile.Service) string {
	o.T.Helper()
	ctx := context.Background()
	r := release.Release{App: app, Version: version, Commit: "0123456789abcdef0123456789abcdef01234567", Services: services, Commands: o.Commands, Inputs: o.Inputs}
	for _, key := range slices.Sorted(maps.Keys(programs)) {
		name, p, ok := strings.Cut(key, " ")
		if !ok {
			p = "linux/amd64"
		}
		d, err := store.PutBytes(ctx, o.Depot, []byte(programs[key]))
		o.must(err)
		kind := release.KindBinary
		if slices.Contains(o.Data, name) {
			kind = release.KindFile
		}
		r.Artifacts = append(r.Artifacts, release.Artifact{
			Name: name, Platform: platform.Platform(p), File: name, Kind: kind,
			Blob: release.Blob{Digest: d, Size: int64(len(programs[key]))},
		})
	}
	if app == release.AgentApp {
		r.Commands = nil
		r.Commit, r.Version = "", release.AgentVersion(r.Artifacts)
		desc, err := release.Write(ctx, o.Depot, r)
		o.must(err)
		o.must(release.PublishAgent(ctx, o.Repo, o.Depot, release.Draft{Ref: r.Ref(), Index: desc}))
		return r.Version
	}
	desc, err := release.Write(ctx, o.Depot, r)
	o.must(err)
	_, err = release.Publish(ctx, o.Repo, o.Depot, release.Draft{Ref: r.Ref(), Index: desc, Inputs: r.Inputs}, o.Origin)
	o.must(err)
	return version
}

// Promote makes channel run app@version.
func (o *Operator) Promote(channel, app, version string) {
	o.T.Helper()
	_, err := release.Promote(context.Background(), o.Repo, release.Ref{App: app, Version: version}, release.Channel(channel), o.Origin.Take)
	o.must(err)
}

// Protect lets n people sign for channel, all of whose keys are here; all must.
func (o *Operator) Protect(channel string, n int) {
	o.T.Helper()
	ctx, role := context.Background(), release.Channel(channel).Role()
	for i := range n {
		pub, err := o.keys.New(fmt.Sprintf("person%d", i+1), nil)
		o.must(err)
		threshold := 0
		if i == n-1 {
			threshold = n
		}
		o.must(o.Repo.AddSigner(ctx, role, pub, threshold))
	}
}

// GoBack returns app on channel to its fallback, as one signer does.
func (o *Operator) GoBack(channel, app string) {
	o.T.Helper()
	ctx := context.Background()
	now, err := o.Repo.Read(ctx)
	o.must(err)
	plan, err := release.PlanReturn(now, release.Channel(channel), app)
	o.must(err)
	o.must(release.GoBack(ctx, o.Repo, plan))
}

// Content returns what a volume of channel holds.
func (o *Operator) Content(channel string) volume.Content {
	o.T.Helper()
	ctx := context.Background()
	c := volume.Content{
		Trust: map[string][]byte{},
		Open:  func(d digest.Digest) (io.ReadCloser, error) { return o.Depot.Open(ctx, d) },
	}
	now, err := o.Repo.Read(ctx)
	o.must(err)
	entries, err := release.Runs(now, release.Channel(channel))
	o.must(err)
	var roots []ocispec.Descriptor
	for _, e := range entries {
		e = release.Stands(now, release.Channel(channel), e.App, now.Targets(release.FallbackRole(release.Channel(channel))))
		list, err := release.Closure(ctx, o.Depot, e.Digest, nil)
		o.must(err)
		c.Blobs = append(c.Blobs, list...)
		root, err := o.Depot.Resolve(ctx, e.App+"@"+e.Version)
		o.must(err)
		roots = append(roots, root)
	}
	c.Index, err = store.MarshalIndex(roots)
	o.must(err)
	for _, name := range now.Names() {
		c.Trust[name], err = now.Metadata(ctx, name, 1<<24)
		o.must(err)
	}
	return c
}

// Seal writes the volume path of channel.
func (o *Operator) Seal(channel, path string) {
	o.T.Helper()
	_, err := volume.Seal(context.Background(), path, o.Content(channel), volume.Options{})
	o.must(err)
}
