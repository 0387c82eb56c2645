package image

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"overland/internal/appfile"
	"overland/internal/builder"
	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/image"
	"overland/internal/store"
)

// Name is this builder and the version of how it builds. Whatever changes the bytes of a result changes it.
const Name = "image/2"

// Options say where the parts of images are.
type Options struct {
	Store store.Store // holds what images are made of, and gets their layers
	Cache string      // folder for what was packed before; the site's
	FS    fsx.FS
}

// Builder makes images. It is safe for concurrent use.
type Builder struct{ o Options }

// New returns a Builder.
func New(o Options) *Builder { return &Builder{o} }

var _ builder.Composer = (*Builder)(nil)

// settings is the part of a recipe that is this builder's own.
type settings struct {
	Image Image                    `json:"image"`
	Needs map[string]digest.Digest `json:"needs,omitempty"` // what the artifacts are that it is made of
	// The image says these of itself.
	Title, Version, Commit string
	Time                   int64
}

// Needs returns the names of the artifacts that a is made of.
func (b *Builder) Needs(a appfile.Artifact) []string {
	i, ok := a.Settings.(*Image)
	if !ok {
		return nil
	}
	names := map[string]bool{}
	if i.Base != "" {
		names[i.Base] = true
	}
	for _, f := range i.Files {
		if f.Artifact != "" {
			names[f.Artifact] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// Recipe returns what decides the bytes of j.
func (b *Builder) Recipe(_ context.Context, j builder.Job) (builder.Recipe, error) {
	i, ok := j.Artifact.Settings.(*Image)
	if !ok {
		return builder.Recipe{}, errs.Errorf(errs.Invalid, "artifact %s has no key image", j.Name)
	}
	whole, err := i.expanded(&j)
	if err != nil {
		return builder.Recipe{}, err
	}
	s := settings{Image: *whole, Needs: map[string]digest.Digest{}, Title: j.Name, Version: j.Commit.Version, Commit: j.Commit.Hash, Time: j.Commit.Time.Unix()}
	for name, of := range j.Needs {
		if of.Image {
			return builder.Recipe{}, errs.Errorf(errs.Invalid, "artifact %s is made of %s, which is an image: name what is in it", j.Name, name)
		}
		s.Needs[name] = of.Digest
	}
	return builder.Recipe{Builder: Name, Toolchain: i.packing().Encoder(), Settings: s}, nil
}

// Build makes the image of j. What cannot be placed is an Invalid error.
func (b *Builder) Build(ctx context.Context, j builder.Job, r builder.Recipe, src, scratch string) (builder.Output, error) {
	s, ok := r.Settings.(settings)
	if !ok {
		return builder.Output{}, fmt.Errorf("recipe of another builder: %s", r.Builder)
	}
	m := &making{b: b, job: j, image: s.Image}
	layers, err := m.layers(ctx, src)
	if err != nil {
		return builder.Output{}, err
	}
	run := s.Image.run()
	run.Labels = labels(s)
	maps.Copy(run.Labels, s.Image.Labels)
	made := image.Image{Platform: j.Platform, Created: j.Commit.Time, Layers: layers, Run: run, Annotations: labels(s)}
	w, err := image.Put(ctx, b.o.Store, made)
	if err != nil {
		return builder.Output{}, err
	}
	// The result is a file, as that of every builder: the manifest.
	out := builder.Output{File: filepath.Join(scratch, "manifest.json"), Data: true, Image: true, Parts: w.Parts, Toolchain: r.Toolchain}
	const private = 0o600
	return out, os.WriteFile(out.File, w.Manifest, private)
}

// packing is how the layers of i are packed.
func (i *Image) packing() image.Packing { return image.Packing(i.Compress) }

// labels returns what the image says of itself, by the names that the image specification gives.
func labels(s settings) map[string]string {
	m := map[string]string{
		ocispec.AnnotationTitle: s.Title, ocispec.AnnotationVersion: s.Version, ocispec.AnnotationCreated: time.Unix(s.Time, 0).UTC().Format(time.RFC3339),
	}
	if s.Commit != "" {
		m[ocispec.AnnotationRevision] = s.Commit
	}
	return m
}

// run returns how a container of i runs.
func (i *Image) run() image.Run {
	r := image.Run{
		User: i.User, Entrypoint: i.entrypoint(), Cmd: i.Command, WorkingDir: i.WorkingDir, Volumes: i.Volumes, StopSignal: i.StopSignal, Labels: map[string]string{},
	}
	for _, name := range slices.Sorted(maps.Keys(i.Env)) {
		r.Env = append(r.Env, name+"="+i.Env[name])
	}
	if _, set := i.Env["PATH"]; !set { // docker and containerd take none from elsewhere
		r.Env = append(r.Env, "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
	}
	for _, p := range i.Ports {
		if !strings.Contains(p, "/") {
			p += "/tcp"
		}
		r.Ports = append(r.Ports, p)
	}
	return r
}
