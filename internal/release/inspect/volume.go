package inspect

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"overland/internal/nodeapi"
	"overland/internal/printer"
	"overland/internal/release"
	"overland/internal/trust"
	"overland/internal/trust/client"
	"overland/internal/volume"
)

// Volume returns what is in v. Signatures are checked against the root that v carries itself,
// which shows that they belong together, not who made them; when they do not hold, Signed.Problem
// says why and the error is nil.
func Volume(ctx context.Context, v *volume.Volume) (*nodeapi.Inspection, error) {
	in := &nodeapi.Inspection{Kind: "volume", Name: filepath.Base(v.Name()), Size: v.Size()}
	index, err := v.Index()
	if err != nil {
		return nil, err
	}
	ch, err := release.SealedChannel(index)
	if err != nil {
		return nil, err
	}
	in.Channel = string(ch)
	tags, err := v.Tags()
	if err != nil {
		return nil, err
	}
	for _, t := range tags {
		r, err := Release(ctx, v, t.Digest)
		if err != nil {
			return nil, err
		}
		in.Releases = append(in.Releases, *r)
	}
	if in.Signed, err = Roles(ctx, v); err != nil {
		return nil, err
	}
	judge(ctx, v, in)
	return in, nil
}

// judge notes in in which releases of v nobody may act on, and why.
func judge(ctx context.Context, v *volume.Volume, in *nodeapi.Inspection) {
	signed, err := Verify(ctx, v, trust.Fingerprint(in.Signed.Fingerprint), time.Time{})
	if err != nil {
		in.Signed.Problem = printer.Error(err)
		return
	}
	for _, r := range signed.Refused {
		for i := range in.Releases {
			if in.Releases[i].App == r.App {
				in.Releases[i].Problem = printer.Error(r.Err)
			}
		}
	}
}

// Roles reads the signed metadata in v without checking it.
func Roles(ctx context.Context, v *volume.Volume) (*nodeapi.Signed, error) {
	s := &nodeapi.Signed{}
	var newest int64
	for _, name := range v.MetadataNames() {
		if release.IsProvenance(name) {
			continue
		}
		b, err := v.Metadata(ctx, name, trust.MaxTargets)
		if err != nil {
			return nil, err
		}
		m, err := trust.ReadStatement(name, b)
		if err != nil {
			return nil, err
		}
		r := nodeapi.Role{Name: m.Role, Version: m.Version, Expires: m.Expires, SignedBy: append([]string{}, m.KeyIDs...)}
		switch m.Type {
		case "root":
			if r.Version < newest {
				continue
			}
			newest = r.Version
			fp, err := trust.FingerprintOf(b)
			if err != nil {
				return nil, err
			}
			s.Fingerprint = string(fp)
			s.Roles = slices.DeleteFunc(s.Roles, func(r nodeapi.Role) bool { return r.Name == "root" })
		case "timestamp":
			s.SealedAt, s.Expires = m.SignedAt, m.Expires
		}
		s.Roles = append(s.Roles, r)
	}
	return s, nil
}

// Verified is what the signatures of a volume say, from the root down.
type Verified struct {
	Root      trust.Fingerprint
	Channel   release.Channel
	Freshness client.Freshness
	Entries   []release.Entry    // what the channel runs
	Releases  []*release.Release // of Entries
	Refused   []release.Refused  // what the channel says and on which nobody may act

	node *client.Client
}

// SignerKeys returns the keys that may release app.
func (v *Verified) SignerKeys(app string) []trust.PublicKey {
	return v.node.SignerKeys(release.Role(app))
}

// Verify follows the signatures in v from root to every blob of its channel's releases, as a node
// does that was never online, and refuses a volume that holds anything else. Bytes of programs are
// not read: see volume.Verify. buildTime is the lowest time that is believed; zero = no such.
func Verify(ctx context.Context, v *volume.Volume, root trust.Fingerprint, buildTime time.Time) (_ *Verified, err error) {
	dir, err := os.MkdirTemp("", "overland-verify-*")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	node, err := client.Open(dir, client.Options{BuildTime: buildTime})
	if err != nil {
		return nil, err
	}
	if err := node.Pin(ctx, v, root); err != nil {
		return nil, err
	}
	out := &Verified{Root: root, node: node}
	if out.Freshness, err = node.Refresh(ctx, v, client.RefreshOptions{Offline: true}); err != nil {
		return nil, err
	}
	index, err := v.Index()
	if err != nil {
		return nil, err
	}
	if out.Channel, err = release.SealedChannel(index); err != nil {
		return nil, err
	}
	if out.Entries, out.Refused, err = release.Current(ctx, node, out.Channel); err != nil {
		return nil, err
	}
	for _, e := range out.Entries {
		r, err := release.Read(ctx, v, e.Digest)
		if err != nil {
			return nil, fmt.Errorf("release %s: %w", e.Ref(), release.Incomplete(v, err))
		}
		out.Releases = append(out.Releases, r)
	}
	return out, release.CheckVolume(ctx, v, out.Entries, out.Refused)
}
