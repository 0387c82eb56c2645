package image

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"overland/internal/archive"
	"overland/internal/builder/placed"
	"overland/internal/errs"
	"overland/internal/image"
	"overland/internal/store"
)

// AnyProgram is OtherPrograms when a container may be told to run another program of the image.
const AnyProgram = "allowed"

// entryPath is where the script lies that runs what a container is told to.
const entryPath = "usr/lib/overland/entrypoint"

// entryScript runs the program that its first argument names, by a path or on the PATH; else what stands where %s is,
// with all arguments. Only the shell's own words are used: it is any shell, with no other program beside it.
const entryScript = `#!/bin/sh
set -f
name=${1-}
case $name in
'' | -*) ;;
*/*) [ -f "$name" ] && [ -x "$name" ] && exec "$@" ;;
*)
	IFS=:
	for dir in $PATH; do
		[ -f "$dir/$name" ] && [ -x "$dir/$name" ] && unset IFS && exec "$@"
	done
	unset IFS
	;;
esac
exec %s "$@"
`

// entrypoint returns what a container of i runs.
func (i *Image) entrypoint() []string {
	if i.OtherPrograms == "" {
		return i.Entrypoint
	}
	return []string{"/" + entryPath}
}

// entry makes the layer with the script of i, for whose shell it looks in base, a tar, and the files of i.
func (m *making) entry(ctx context.Context) (image.Made, error) {
	there, err := m.hasShell(ctx)
	if err != nil {
		return image.Made{}, err
	}
	if !there {
		return image.Made{}, errs.Hint(errs.Errorf(errs.Invalid, "other-programs: the image has no /bin/sh, which chooses among them"),
			"name a base with a shell, or leave it out: docker run --entrypoint PROGRAM runs another")
	}
	words := make([]string, len(m.image.Entrypoint))
	for i, w := range m.image.Entrypoint {
		words[i] = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
	}
	text := fmt.Sprintf(entryScript, strings.Join(words, " "))
	return m.image.packing().PutLayer(ctx, m.b.o.Store, dated(), func(l *image.Layer) error {
		return l.Add(image.Entry{Name: entryPath, Mode: placed.ProgramMode, Size: int64(len(text)), Time: dated()}, strings.NewReader(text))
	})
}

// hasShell reports whether the image has /bin/sh: in its files, or in its base.
func (m *making) hasShell(ctx context.Context) (bool, error) {
	if _, ok := m.image.Files["/bin/sh"]; ok || m.image.Base == "" {
		return ok, nil
	}
	blob, err := m.b.o.Store.Open(ctx, m.job.Needs[m.image.Base].Digest)
	if err != nil {
		return false, err
	}
	defer blob.Close()
	_, merged := m.image.Files["/usr/bin/sh"]
	linked := false
	const members = 1 << 20
	for r := archive.NewTar(store.Once(blob), archive.Bounds{Members: members}); ; {
		h, err := r.Next()
		switch {
		case errors.Is(err, io.EOF):
			return merged && linked, nil
		case err != nil:
			return false, errs.E(errs.Invalid, err)
		}
		switch path.Clean(h.Name) {
		case "bin/sh":
			return true, nil
		case "usr/bin/sh":
			merged = true
		case "bin":
			linked = h.Typeflag == tar.TypeSymlink
		}
	}
}
