package nodecli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"

	"overland/internal/agent"
	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/progress"
	"overland/internal/release"
	"overland/internal/trust"
	"overland/internal/trust/client"
	"overland/internal/volume"
)

// openVolume opens the volume named first in args or by --volume (from a volume's own stub), and returns the rest.
func openVolume(c *call, args []string) (*volume.Volume, []string, error) {
	name := c.volume
	if name == "" && len(args) > 0 {
		name, args = args[0], args[1:]
	}
	if name == "" {
		return nil, nil, errs.Hint(errs.Errorf(errs.Invalid, "which volume?"), "sh FILE verb, or %s verb FILE", Program)
	}
	v, err := volume.Open(name)
	return v, args, err
}

// signed is what a volume holds, as somebody signed it.
type signed struct {
	root     trust.Fingerprint
	known    string // where the root came from; "" = from the volume itself, which proves nothing
	channel  release.Channel
	fresh    client.Freshness
	releases []*release.Release
}

// readSigned checks v's signatures from the root down, in a directory of its own that is removed again.
func readSigned(ctx context.Context, c *call, v *volume.Volume) (s signed, err error) {
	if s.root, s.known, err = knownRoot(c); err != nil {
		return s, err
	}
	if s.known == "" {
		if s.root, err = agent.OfferedRoot(ctx, v); err != nil {
			return s, err
		}
	}
	dir, err := os.MkdirTemp("", "overland-verify-")
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	node, err := client.Open(dir, client.Options{BuildTime: buildTime()})
	if err != nil {
		return s, err
	}
	if err := node.Pin(ctx, v, s.root); err != nil {
		return s, err
	}
	if s.fresh, err = node.Refresh(ctx, v, client.RefreshOptions{Offline: true}); err != nil {
		return s, err
	}
	index, err := v.Index()
	if err != nil {
		return s, err
	}
	if s.channel, err = release.SealedChannel(index); err != nil {
		return s, err
	}
	entries, err := release.Current(ctx, node, s.channel)
	if err != nil {
		return s, err
	}
	for _, entry := range entries {
		r, err := release.Read(ctx, v, entry.Digest)
		if err != nil {
			return s, fmt.Errorf("release %s: %w", entry.Ref(), err)
		}
		s.releases = append(s.releases, r)
	}
	return s, release.CheckVolume(ctx, v, entries)
}

// knownRoot returns the root to judge by and where it came from, both "" when this machine knows none.
func knownRoot(c *call) (trust.Fingerprint, string, error) {
	if c.root != "" {
		fp, err := trust.ParseFingerprint(c.root)
		return fp, "--root", errs.E(errs.Invalid, err)
	}
	if s, err := agent.Peek(c.dir); err == nil && s.Root != "" {
		return trust.Fingerprint(s.Root), "pinned on this node", nil
	}
	fp, err := provisioned(provisionedRoot)
	if fp == "" {
		return "", "", err
	}
	return fp, provisionedRoot, err
}

func verify(ctx context.Context, e env, c *call, args []string) (int, error) {
	v, _, err := openVolume(c, args)
	if err != nil {
		return 0, err
	}
	defer v.Close()
	err = v.Verify(ctx, e.progress())
	if err != nil {
		return 0, err
	}
	s, err := readSigned(ctx, c, v)
	if err != nil {
		return 0, err
	}
	if s.known == "" {
		e.say("note: no root of trust is known here; compare this one yourself, or add --root FINGERPRINT")
		fmt.Fprintf(e.out, "whole and signed, by a root that nobody here has checked: %s\n", s.root)
		return 0, nil
	}
	fmt.Fprintf(e.out, "whole and signed by root %s (%s)\n", s.root, s.known)
	return 0, nil
}

func list(_ context.Context, e env, c *call, args []string) (int, error) {
	v, _, err := openVolume(c, args)
	if err != nil {
		return 0, err
	}
	defer v.Close()
	type line struct {
		Name   string        `json:"name"`
		Size   int64         `json:"size"`
		Offset int64         `json:"offset"`
		Digest digest.Digest `json:"digest,omitempty"`
	}
	lines := []line{}
	for _, entry := range v.Entries() {
		lines = append(lines, line{entry.Name, entry.Size, entry.Offset, entry.Digest})
	}
	if c.json {
		return 0, writeJSON(e.out, lines)
	}
	for _, l := range lines {
		fmt.Fprintf(e.out, "%12d  %s\n", l.Size, l.Name)
	}
	return 0, nil
}

func extract(ctx context.Context, e env, c *call, args []string) (int, error) {
	v, rest, err := openVolume(c, args)
	if err != nil {
		return 0, err
	}
	defer v.Close()
	if len(rest) != 1 {
		return 0, errs.Hint(errs.Errorf(errs.Invalid, "extract: to which directory?"), "%s help extract", Program)
	}
	if err := v.Extract(ctx, rest[0], fsx.FS{}); err != nil {
		return 0, err
	}
	fmt.Fprintln(e.out, rest[0])
	return 0, nil
}

// inspectJSON is what `inspect --json` prints.
type inspectJSON struct {
	Volume    string            `json:"volume"`
	Root      trust.Fingerprint `json:"root"`
	RootKnown bool              `json:"root_known"`
	Channel   release.Channel   `json:"channel"`
	SignedAt  string            `json:"signed_at,omitempty"` // RFC 3339
	Releases  []inspectRelease  `json:"releases"`
}

type inspectRelease struct {
	App       string            `json:"app"`
	Version   string            `json:"version"`
	Commit    string            `json:"commit,omitempty"`
	Toolchain string            `json:"toolchain,omitempty"`
	Artifacts []inspectArtifact `json:"artifacts"`
	Services  []string          `json:"services,omitempty"`
}

type inspectArtifact struct {
	Name     string        `json:"name"`
	Platform string        `json:"platform"`
	Size     int64         `json:"size"` // bytes
	Digest   digest.Digest `json:"digest"`
	Here     bool          `json:"here"` // in this volume
}

func inspect(ctx context.Context, e env, c *call, args []string) (int, error) {
	v, _, err := openVolume(c, args)
	if err != nil {
		return 0, err
	}
	defer v.Close()
	s, err := readSigned(ctx, c, v)
	if err != nil {
		return 0, err
	}
	out := inspectJSON{Volume: v.Name(), Root: s.root, RootKnown: s.known != "", Channel: s.channel}
	if !s.fresh.SignedAt.IsZero() {
		out.SignedAt = stamp(s.fresh.SignedAt)
	}
	for _, r := range s.releases {
		ir := inspectRelease{App: r.App, Version: r.Version, Commit: r.Commit, Toolchain: r.Toolchain}
		for _, a := range r.Artifacts {
			ir.Artifacts = append(ir.Artifacts, inspectArtifact{a.Name, string(a.Platform), a.Blob.Size, a.Blob.Digest, v.Has(a.Blob.Digest)})
		}
		ir.Services = slices.Sorted(maps.Keys(r.Services))
		out.Releases = append(out.Releases, ir)
	}
	if c.json {
		return 0, writeJSON(e.out, out)
	}
	fmt.Fprintf(e.out, "channel %s, root %s", out.Channel, out.Root)
	if !out.RootKnown {
		fmt.Fprint(e.out, " (the volume's own word)")
	}
	fmt.Fprintf(e.out, "\nsigned %s\n", orNone(out.SignedAt))
	for _, r := range out.Releases {
		fmt.Fprintf(e.out, "\n%s@%s  %s\n", r.App, r.Version, r.Toolchain)
		for _, a := range r.Artifacts {
			missing := ""
			if !a.Here {
				missing = "  (not in this volume)"
			}
			fmt.Fprintf(e.out, "  %-16s %-14s %s%s\n", a.Name, a.Platform, progress.Bytes(a.Size), missing)
		}
	}
	return 0, nil
}
