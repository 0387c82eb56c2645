package operator

import (
	"cmp"
	"context"
	"slices"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/lockfile"
	"overland/internal/release"
)

// InputDetails are those of a release's inputs.
type InputDetails struct {
	Digest    digest.Digest     `json:"digest"`              // of their list
	Present   bool              `json:"present"`             // false: left out of the volume, or not all in the depot
	Blobs     int               `json:"blobs,omitempty"`     // that the lock names
	Bytes     int64             `json:"bytes,omitempty"`     // of the lock, the source and the blobs
	Source    int64             `json:"source,omitempty"`    // bytes of the source alone
	Protocols []ProtocolDetails `json:"protocols,omitempty"` // sorted by name
}

// ProtocolDetails are those of one protocol's part of a lock.
type ProtocolDetails struct {
	Name    string `json:"name"`
	Entries int    `json:"entries"`
	Bytes   int64  `json:"bytes"`
}

// inputDetails looks at the inputs desc in b, which may have none of them.
func inputDetails(ctx context.Context, b blobs, desc ocispec.Descriptor) (*InputDetails, error) {
	out := &InputDetails{Digest: desc.Digest}
	in, err := release.ReadInputs(ctx, b, desc)
	if errs.KindOf(err) == errs.NotFound {
		return out, nil
	}
	if err != nil {
		return nil, err
	}
	out.Blobs, out.Bytes, out.Source = len(in.Blobs), in.Size(), in.Source.Size
	lock, err := readInputLock(ctx, b, in)
	if errs.KindOf(err) == errs.NotFound {
		return out, nil
	}
	if err != nil {
		return nil, err
	}
	out.Protocols = ByProtocol(lock)
	out.Present = true
	for _, d := range in.All() {
		section, closer, err := b.section(d.Digest)
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

// ByProtocol sums up l.
func ByProtocol(l *lockfile.Lock) []ProtocolDetails {
	var list []ProtocolDetails
	for _, e := range l.Entries {
		at, ok := slices.BinarySearchFunc(list, e.Protocol, func(p ProtocolDetails, name string) int { return cmp.Compare(p.Name, name) })
		if !ok {
			list = slices.Insert(list, at, ProtocolDetails{Name: e.Protocol})
		}
		list[at].Entries++
		list[at].Bytes += e.Size
	}
	return list
}
