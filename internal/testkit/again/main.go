// Command again builds the root file systems and images that a repository's overland.yaml names, offline from its lock, and
// packs them into volumes. It prints the digest of all that came out, and which Go it is of and which day it takes this for:
// another Go, on another day, must print the same digests.
//
//	again REPOSITORY DEPOT FOLDER
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"overland/internal/appfile/yamlfile"
	"overland/internal/builder"
	"overland/internal/builder/image"
	"overland/internal/builder/rootfs"
	"overland/internal/deflate"
	"overland/internal/digest"
	"overland/internal/release"
	"overland/internal/source"
	"overland/internal/store"
	storedir "overland/internal/store/dir"
	"overland/internal/volume"
)

func main() {
	fmt.Fprintln(os.Stderr, runtime.Version(), time.Now().UTC().Format(time.DateOnly))
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "again REPOSITORY DEPOT FOLDER")
		os.Exit(2)
	}
	if err := run(context.Background(), os.Args[1], os.Args[2], os.Args[3]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, repository, depot, dir string) error {
	repo, err := source.Open(ctx, repository)
	if err != nil {
		return err
	}
	commit, err := repo.Resolve(ctx, "")
	if err != nil {
		return err
	}
	text, err := os.ReadFile(filepath.Join(repository, "overland.yaml"))
	if err != nil {
		return err
	}
	format := yamlfile.Format{Builders: []yamlfile.Builder{image.Keys(), rootfs.Keys()}, Runtimes: []yamlfile.Runtime{{Name: "process"}}}
	app, err := format.Parse(text, "overland.yaml")
	if err != nil {
		return err
	}
	d, err := storedir.Open(depot, storedir.Options{})
	if err != nil {
		return err
	}
	built, err := builder.Run(ctx, d, builder.Request{
		Repo: repo, Commit: commit, App: app, Cache: filepath.Join(dir, "cache"), Rebuild: true, Fresh: true,
		Builders: map[string]builder.Builder{
			image.Key:  image.New(image.Options{Store: d, Cache: filepath.Join(dir, "layers")}),
			rootfs.Key: rootfs.New(rootfs.Options{Store: d, Env: []string{}, Etc: dir, Apk: dir}),
		},
	})
	if err != nil {
		return err
	}
	r := release.Release{App: app.Name, Version: commit.Version, Commit: commit.Hash, CommitTime: commit.Time}
	for _, a := range built {
		fmt.Println(a.Name, a.Platform, a.Digest)
		kind := release.KindFile
		if a.Image {
			kind = release.KindImage
		}
		r.Artifacts = append(r.Artifacts, release.Artifact{
			Name: a.Name, Platform: a.Platform, File: a.File, Kind: kind, Blob: release.Blob{Digest: a.Digest, Size: a.Size},
		})
	}
	written, err := release.Write(ctx, d, r)
	if err != nil {
		return err
	}
	fmt.Println("release", written.Digest)
	content := volume.Content{Open: func(b digest.Digest) (io.ReadCloser, error) { return d.Open(ctx, b) }}
	if content.Blobs, err = release.Closure(ctx, d, written.Digest, nil); err != nil {
		return err
	}
	root := written
	root.Annotations = map[string]string{ocispec.AnnotationRefName: r.Ref().String()}
	if content.Index, err = store.MarshalIndex([]ocispec.Descriptor{root}); err != nil {
		return err
	}
	for i, o := range []volume.Options{{}, {Pack: deflate.NewWriter}} {
		sum, err := sealed(ctx, filepath.Join(dir, strconv.Itoa(i)+".volume"), content, o)
		if err != nil {
			return err
		}
		fmt.Println("volume", i, sum)
	}
	return nil
}

// sealed returns the digest of the file that c becomes.
func sealed(ctx context.Context, path string, c volume.Content, o volume.Options) (_ digest.Digest, err error) {
	if _, err := volume.Seal(ctx, path, c, o); err != nil {
		return "", err
	}
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(path)) }()
	h := digest.New()
	_, err = io.Copy(h, f)
	return h.Digest(), err
}
