package operator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"overland/internal/errs"
	"overland/internal/progress"
	"overland/internal/release"
	"overland/internal/trust"
	"overland/internal/trust/client"
	"overland/internal/volume"
)

// Role is one piece of signed metadata and who signed it.
type Role struct {
	Name     string    `json:"name"`
	Version  int64     `json:"version"`
	Expires  time.Time `json:"expires"`
	SignedBy []string  `json:"signedBy"` // key ids, with the key's name where this machine knows it: "targets (3f…)"
}

func inspectVolume(ctx context.Context, v *volume.Volume, names map[string]string) (_ *Inspection, err error) {
	defer func() { err = errors.Join(err, v.Close()) }()
	in := &Inspection{Kind: "volume", Name: v.Name(), Size: v.Size()}
	index, err := v.Index()
	if err != nil {
		return nil, err
	}
	if in.Channel, err = release.SealedChannel(index); err != nil {
		return nil, err
	}
	tags, err := v.Tags()
	if err != nil {
		return nil, err
	}
	for _, t := range tags {
		d, err := details(ctx, volumeBlobs{v}, t.Digest)
		if err != nil {
			return nil, err
		}
		in.Releases = append(in.Releases, *d)
	}
	if in.Signed, err = readRoles(ctx, v, names); err != nil {
		return nil, err
	}
	if _, _, err := checkSigned(ctx, v, in.Signed.Fingerprint, in.Channel); err != nil {
		in.Signed.Problem = err.Error()
	}
	return in, nil
}

// readRoles reads the metadata in v without judging it.
func readRoles(ctx context.Context, v *volume.Volume, names map[string]string) (*Signed, error) {
	s := &Signed{}
	var newest int64
	for _, name := range v.MetadataNames() {
		b, err := v.Metadata(ctx, name, trust.MaxTargets)
		if err != nil {
			return nil, err
		}
		r, file, err := parseRole(name, b, names)
		if err != nil {
			return nil, errs.E(errs.Untrusted, fmt.Errorf("metadata %s: %w", name, err))
		}
		switch file.Signed.Type {
		case "root":
			if r.Version < newest {
				continue
			}
			newest = r.Version
			if s.Fingerprint, err = trust.FingerprintOf(b); err != nil {
				return nil, err
			}
			s.Roles = slices.DeleteFunc(s.Roles, func(r Role) bool { return r.Name == "root" })
		case "timestamp":
			s.SealedAt, s.Expires = file.Signed.SignedAt, file.Signed.Expires
		}
		s.Roles = append(s.Roles, r)
	}
	return s, nil
}

// roleFile is the part of TUF metadata that people are shown.
type roleFile struct {
	Signed struct {
		Type     string    `json:"_type"`
		Version  int64     `json:"version"`
		Expires  time.Time `json:"expires"`
		SignedAt time.Time `json:"x-overland-signed-at"`
	} `json:"signed"`
	Signatures []struct {
		KeyID string `json:"keyid"`
	} `json:"signatures"`
}

// parseRole reads the metadata file called name on the wire: "3.app%2Fwallet.json", "timestamp.json".
func parseRole(name string, b []byte, names map[string]string) (Role, roleFile, error) {
	var f roleFile
	if err := json.Unmarshal(b, &f); err != nil {
		return Role{}, f, err
	}
	base := strings.TrimSuffix(name, ".json")
	if number, rest, ok := strings.Cut(base, "."); ok && strings.Trim(number, "0123456789") == "" {
		base = rest
	}
	r := Role{Name: strings.ReplaceAll(base, "%2F", "/"), Version: f.Signed.Version, Expires: f.Signed.Expires}
	var ids []string
	for _, s := range f.Signatures {
		ids = append(ids, s.KeyID)
	}
	r.SignedBy = named(ids, names)
	return r, f, nil
}

func named(ids []string, names map[string]string) []string {
	list := make([]string, 0, len(ids))
	for _, id := range ids {
		const short = 12
		text := id[:min(short, len(id))]
		if name := names[id]; name != "" {
			text = name + " (" + text + ")"
		}
		list = append(list, text)
	}
	return list
}

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
}

// openWhole opens the volume at path once every byte of it is checked, and returns the channel that it was sealed for.
// Its signatures are not looked at. The caller closes the volume.
func openWhole(ctx context.Context, path string, show func(progress.Event)) (_ *volume.Volume, _ release.Channel, err error) {
	v, err := volume.Open(path)
	if err != nil {
		return nil, "", err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, v.Close())
		}
	}()
	if err := v.Verify(ctx, show); err != nil {
		return nil, "", err
	}
	index, err := v.Index()
	if err != nil {
		return nil, "", err
	}
	ch, err := release.SealedChannel(index)
	return v, ch, err
}

// VerifyVolume checks the volume at path: every byte of it, then that its signatures lead from root to each release,
// and that nothing is in it of which those do not speak.
// An empty root takes the volume's own, which shows that it is whole, not who made it.
func VerifyVolume(ctx context.Context, path string, root trust.Fingerprint, show func(progress.Event)) (_ *VolumeCheck, err error) {
	v, ch, err := openWhole(ctx, path, show)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, v.Close()) }()
	trusted := root != ""
	if !trusted {
		s, err := readRoles(ctx, v, nil)
		if err != nil {
			return nil, err
		}
		root = s.Fingerprint
	}
	c, _, err := checkSigned(ctx, v, root, ch)
	if err != nil {
		return nil, err
	}
	c.Trusted = trusted
	for _, e := range v.Entries() {
		if strings.HasPrefix(e.Name, "blobs/") {
			c.Blobs++
			c.Bytes += e.Size
		}
	}
	return c, nil
}

// checkSigned follows the signatures in v from root to each blob of ch's releases, as a node does that was never online,
// and returns what the channel runs.
func checkSigned(ctx context.Context, v *volume.Volume, root trust.Fingerprint, ch release.Channel) (_ *VolumeCheck, entries []release.Entry, err error) {
	dir, err := os.MkdirTemp("", "overland-verify-*")
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	node, err := client.Open(dir, client.Options{})
	if err != nil {
		return nil, nil, err
	}
	if err := node.Pin(ctx, v, root); err != nil {
		return nil, nil, err
	}
	fresh, err := node.Refresh(ctx, v, client.RefreshOptions{Offline: true})
	if err != nil {
		return nil, nil, err
	}
	entries, err = release.Current(ctx, node, ch)
	if err != nil {
		return nil, nil, err
	}
	c := &VolumeCheck{Channel: ch, Fingerprint: root, SealedAt: fresh.SignedAt, Expires: fresh.Expires}
	for _, e := range entries {
		if _, err := release.Read(ctx, v, e.Digest); err != nil {
			return nil, nil, fmt.Errorf("%s: %w", e.Ref(), err)
		}
		c.Releases = append(c.Releases, e.Ref().String())
	}
	return c, entries, release.CheckVolume(ctx, v, entries)
}
