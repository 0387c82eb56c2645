package release

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/volume"
)

// CheckVolume refuses (errs.Untrusted) a volume with a blob that none of the releases in entries speaks of, or with
// another agent than the signed one in front. Its digests prove nothing about such bytes: whoever puts them in computes
// those again. entries are what the signed channel runs; the bytes of the blobs are judged by Volume.Verify.
func CheckVolume(ctx context.Context, v *volume.Volume, entries []Entry) error {
	known := make(map[digest.Digest]bool)
	var agent *Release
	for _, e := range entries {
		blobs, err := Closure(ctx, v, e.Digest, func(a Artifact) bool { return v.Has(a.Blob.Digest) })
		if err != nil {
			return fmt.Errorf("release %s: %w", e.Ref(), err)
		}
		for _, b := range blobs {
			known[b.Digest] = true
		}
		if e.App == AgentApp {
			if agent, err = Read(ctx, v, e.Digest); err != nil {
				return fmt.Errorf("release %s: %w", e.Ref(), err)
			}
		}
	}
	for _, e := range v.Entries() {
		if strings.HasPrefix(e.Name, "blobs/") && !known[e.Digest] {
			return errs.Errorf(errs.Untrusted, "volume %s: %s is in it, but nothing that was signed names it", v.Name(), e.Name)
		}
	}
	for _, a := range v.Agents() {
		signed := func(art Artifact) bool { return art.Name == AgentApp && art.Blob.Digest == a.Digest }
		if agent == nil || !slices.ContainsFunc(agent.For(a.Platform), signed) {
			return errs.Errorf(errs.Untrusted, "volume %s: its agent for %s is not the one that was signed", v.Name(), a.Platform)
		}
	}
	return nil
}
