package operator

import (
	"context"
	"errors"
	"strings"
	"time"

	"overland/internal/progress"
	"overland/internal/release"
	"overland/internal/release/inspect"
	"overland/internal/trust"
	"overland/internal/volume"
)

// VolumeCheck is what VerifyVolume found to hold.
type VolumeCheck struct {
	Blobs       int               `json:"blobs"`
	Bytes       int64             `json:"bytes"` // of all blobs
	Channel     release.Channel   `json:"channel"`
	Fingerprint trust.Fingerprint `json:"fingerprint"`
	Trusted     bool              `json:"trusted"` // the root was given, not taken from the volume
	SealedAt    time.Time         `json:"sealedAt,omitzero"`
	Expires     time.Time         `json:"expires,omitzero"`
	Releases    []string          `json:"releases"`
	Provenance  int               `json:"provenance,omitempty"` // signed statements of how an artifact was built
}

// openWhole opens the volume at path once every byte of it is checked. Its signatures are not
// looked at. The caller closes the volume.
func openWhole(ctx context.Context, path string, show func(progress.Event)) (*volume.Volume, error) {
	v, err := volume.Open(path)
	if err != nil {
		return nil, err
	}
	if err := v.Verify(ctx, show); err != nil {
		return nil, errors.Join(err, v.Close())
	}
	return v, nil
}

// VerifyVolume checks the volume at path: every byte of it, then that its signatures lead from root
// to each release, and that it holds nothing that the signed metadata does not name. An empty root
// takes the volume's own, which shows that it is whole, not who made it.
func VerifyVolume(ctx context.Context, path string, root trust.Fingerprint, show func(progress.Event)) (_ *VolumeCheck, err error) {
	v, err := openWhole(ctx, path, show)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, v.Close()) }()
	trusted := root != ""
	if !trusted {
		s, err := inspect.Roles(ctx, v)
		if err != nil {
			return nil, err
		}
		root = trust.Fingerprint(s.Fingerprint)
	}
	signed, err := inspect.Verify(ctx, v, root, time.Time{})
	if err != nil {
		return nil, err
	}
	how, err := sealedProvenance(ctx, v, signed)
	if err != nil {
		return nil, err
	}
	c := &VolumeCheck{
		Channel: signed.Channel, Fingerprint: root, Trusted: trusted,
		SealedAt: signed.Freshness.SignedAt, Expires: signed.Freshness.Expires,
	}
	for _, e := range signed.Entries {
		c.Releases = append(c.Releases, e.Ref().String())
	}
	for _, list := range how {
		c.Provenance += len(list)
	}
	for _, e := range v.Entries() {
		if strings.HasPrefix(e.Name, "blobs/") {
			c.Blobs++
			c.Bytes += e.Size
		}
	}
	return c, nil
}
