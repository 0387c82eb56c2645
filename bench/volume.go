package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os/exec"
	"path/filepath"

	"overland/internal/fsx"
	"overland/internal/platform"
	"overland/internal/release"
	"overland/internal/store/dir"
	"overland/internal/testkit/machine"
	"overland/internal/trust/keys"
	"overland/internal/trust/repository"
)

const blobSize = 64 << 20

var heavy = release.Ref{App: "heavy", Version: "r1.000000000000"}

func (b *bench) home() string { return filepath.Join(b.dir, "site") }

// volume seals a release of incompressible blobs, beside sha256sum over the same
// bytes, and installs it on a machine.
func (b *bench) volume(ctx context.Context, size int64) error {
	fingerprint, blobs, err := b.heavyRelease(ctx, size)
	if err != nil {
		return err
	}
	floor, err := measure(exec.CommandContext(ctx, "sha256sum", blobs...))
	if err != nil {
		return err
	}
	file := filepath.Join(b.dir, "heavy.volume")
	seal, err := measure(b.command(ctx, "seal", "--channel", "heavy", "--platform", "linux/amd64", "-o", file, "--quiet"))
	if err != nil {
		return err
	}
	b.table.add(fmt.Sprintf("floor: sha256sum over %.0f MiB", mib(size)), "%.2f CPU-s", "", floor.cpu.Seconds())
	b.table.add(fmt.Sprintf("seal %.0f MiB of incompressible blobs", mib(size)), "%.2f CPU-s, RSS %.0f MiB, %.2f × sha256sum",
		"≤ 1.5 CPU-s, RSS ≤ 48 MiB, ≤ 1.2 ×", seal.cpu.Seconds(), mib(seal.rss), seal.cpu.Seconds()/floor.cpu.Seconds())
	// The rival carries the same bytes into one file, without
	// signatures, agents or a way to run it.
	rival, err := measure(exec.CommandContext(ctx, "skopeo", "copy", "--all", "--quiet",
		"oci:"+filepath.Join(b.home(), "depot")+":"+heavy.String(), "oci-archive:"+filepath.Join(b.dir, "rival.tar")))
	if err != nil {
		return err
	}
	b.table.add("rival: skopeo copy of the same release to an oci-archive", "%.2f CPU-s, RSS %.0f MiB", "", rival.cpu.Seconds(), mib(rival.rss))

	check, err := measure(b.command(ctx, "volume", "verify", file, "--root", fingerprint, "--quiet"))
	if err != nil {
		return err
	}
	b.table.add("overland volume verify of it", "%.2f CPU-s, RSS %.0f MiB", "", check.cpu.Seconds(), mib(check.rss))
	return b.install(ctx, file, fingerprint)
}

func (b *bench) install(ctx context.Context, file, fingerprint string) error {
	// The state directory is a real disk: on the machine's own tmpfs
	// the depot would count as memory.
	state := filepath.Join(b.dir, "state")
	m, err := machine.Start(ctx, machine.Options{
		Name: "heavy", Root: machine.Host,
		Binds: map[string]string{filepath.Dir(file): "/mnt"}, Writable: map[string]string{state: "/var/lib/overland"},
	})
	if err != nil {
		return err
	}
	defer m.Stop()
	before, err := everything(ctx, m, "overland-agent")
	if err != nil {
		return err
	}
	c, err := measure(m.Command(ctx, "sh", "/mnt/"+filepath.Base(file), "install", "--root", fingerprint, "--channel", "heavy"))
	if err != nil {
		return err
	}
	after, err := everything(ctx, m, "overland-agent")
	if err != nil {
		return err
	}
	cpu := c.cpu + after.cpu - before.cpu
	b.table.add("verify + install that volume (sh FILE install)", "%.2f CPU-s, RSS %.0f MiB", "≤ 2.5 CPU-s, RSS ≤ 48 MiB, one hashing pass",
		cpu.Seconds(), mib(max(c.rss, after.rss)))
	return nil
}

// heavyRelease signs a release of random blobs and returns the root's
// fingerprint and the paths of the blobs.
func (b *bench) heavyRelease(ctx context.Context, size int64) (string, []string, error) {
	depot, err := dir.Open(filepath.Join(b.home(), "depot"), dir.Options{})
	if err != nil {
		return "", nil, err
	}
	r := release.Release{App: heavy.App, Version: heavy.Version}
	var paths []string
	random := rand.NewChaCha8([32]byte{1})
	for i := int64(0); i*blobSize < size; i++ {
		n := min(blobSize, size-i*blobSize)
		d, _, err := depot.Put(ctx, io.LimitReader(random, n), "", n)
		if err != nil {
			return "", nil, err
		}
		path := filepath.Join(depot.Dir(), "blobs", "sha256", d.Encoded())
		paths = append(paths, path)
		name := fmt.Sprintf("data-%02d", i)
		r.Artifacts = append(r.Artifacts, release.Artifact{
			Name: name, Platform: platform.Platform("linux/amd64"), File: name, Kind: release.KindBinary,
			Blob: release.Blob{Digest: d, Size: n},
		})
	}
	desc, err := release.Write(ctx, depot, r)
	if err != nil {
		return "", nil, err
	}
	keys, err := keys.Open(filepath.Join(b.home(), "keys"), keys.Options{})
	if err != nil {
		return "", nil, err
	}
	repo, err := repository.Init(ctx, repository.Dir(filepath.Join(b.home(), "trust"), fsx.FS{}), keys, repository.InitOptions{})
	if err != nil {
		return "", nil, err
	}
	origin := release.Origin{Repository: "6f4a1c0000000000000000000000000000000001"}
	if _, err := release.Publish(ctx, repo, depot, release.Draft{Ref: r.Ref(), Index: desc}, origin); err != nil {
		return "", nil, err
	}
	if _, err := release.Promote(ctx, repo, r.Ref(), "heavy", false); err != nil {
		return "", nil, err
	}
	return string(repo.Fingerprint()), paths, nil
}
