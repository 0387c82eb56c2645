package builder

import (
	"context"

	"overland/internal/digest"
	"overland/internal/platform"
	"overland/internal/source"
)

// Shared is where results are shared with other machines; builder/shared has one. It must be safe
// for concurrent use. It works on the depot of the Request.
type Shared interface {
	// Get copies the result that w names into the depot. When found is false it is built here;
	// after an error it must not be.
	Get(ctx context.Context, w Wanted) (s Sharable, found bool, err error)
	// Put shares s, which was built here and is in the depot. It reports its own trouble:
	// the result is good all the same.
	Put(ctx context.Context, w Wanted, s Sharable)
}

// Wanted names a result among machines that share them.
type Wanted struct {
	Name     string // the artifact's
	Platform platform.Platform
	Source   source.Commit
	Recipe   digest.Digest  // of everything that decides the bytes but the host
	Host     *platform.Host // the kind of this machine, when it decides the bytes too; nil = it does not
}

// Sharable is a result in the depot.
type Sharable struct {
	Digest    digest.Digest
	Size      int64  // bytes
	Toolchain string // as in Built
	Data      bool   // as in Built
}

// wanted returns the name that the result of in has among machines that share.
func (in inputs) wanted(j Job, c source.Commit) (Wanted, error) {
	w := Wanted{Name: j.Name, Platform: j.Platform, Source: c, Host: in.Recipe.Host}
	in.Recipe.Host = nil
	var err error
	w.Recipe, err = in.key()
	return w, err
}

// shared gets the result of in from other machines, if one has it.
func (r *run) shared(ctx context.Context, j Job, in inputs) (rec record, found bool, err error) {
	if r.req.Shared == nil || r.req.Rebuild || j.Needs != nil { // what is composed is made fast, of what is shared
		return record{}, false, nil
	}
	w, err := in.wanted(j, r.req.Commit)
	if err != nil {
		return record{}, false, err
	}
	s, found, err := r.req.Shared.Get(ctx, w)
	return record{Digest: s.Digest, Size: s.Size, Toolchain: s.Toolchain, Data: s.Data}, found, err
}

// share offers a result that was built here to other machines.
func (r *run) share(ctx context.Context, j Job, rec record) {
	if r.req.Shared == nil || j.Needs != nil {
		return
	}
	if w, err := rec.Inputs.wanted(j, r.req.Commit); err == nil {
		r.req.Shared.Put(ctx, w, Sharable{Digest: rec.Digest, Size: rec.Size, Toolchain: rec.Toolchain, Data: rec.Data})
	}
}
