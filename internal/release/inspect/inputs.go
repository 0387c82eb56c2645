package inspect

import (
	"bytes"
	"context"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"overland/internal/errs"
	"overland/internal/lockfile"
	"overland/internal/nodeapi"
	"overland/internal/release"
)

// Inputs returns what b has of the inputs that desc lists, which may be nothing.
func Inputs(ctx context.Context, b Blobs, desc ocispec.Descriptor) (*nodeapi.Inputs, error) {
	out := &nodeapi.Inputs{Digest: desc.Digest}
	in, err := release.ReadInputs(ctx, b, desc)
	if errs.KindOf(err) == errs.NotFound {
		return out, nil
	}
	if err != nil {
		return nil, err
	}
	out.Blobs, out.Bytes, out.Source = len(in.Blobs), in.Size(), in.Source.Size
	lock, err := Lock(ctx, b, in)
	if errs.KindOf(err) == errs.NotFound {
		return out, nil
	}
	if err != nil {
		return nil, err
	}
	out.Protocols = ByProtocol(lock)
	out.Present = true
	for _, d := range in.All() {
		section, closer, err := b.Section(ctx, d.Digest)
		if err != nil {
			out.Present = false
			break
		}
		out.Present = out.Present && section.Size() == d.Size
		if err := closer.Close(); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Lock reads the lock of in.
func Lock(ctx context.Context, g release.Getter, in *release.Inputs) (*lockfile.Lock, error) {
	b, err := g.Bytes(ctx, in.Lock.Digest, lockfile.Limit)
	if err != nil {
		return nil, err
	}
	return lockfile.Parse(bytes.NewReader(b), 0)
}

// ByProtocol returns how much of l each protocol has, sorted by name.
func ByProtocol(l *lockfile.Lock) []nodeapi.Protocol {
	var list []nodeapi.Protocol
	for _, e := range l.Entries {
		at := len(list) - 1
		if at < 0 || list[at].Name != e.Protocol { // a lock is sorted
			at, list = at+1, append(list, nodeapi.Protocol{Name: e.Protocol})
		}
		list[at].Entries++
		list[at].Bytes += e.Size
	}
	return list
}
