package nodecli

import (
	"context"
	"fmt"
	"strings"

	"overland/internal/agent"
	"overland/internal/agent/stage"
	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/printer"
	"overland/internal/progress"
	"overland/internal/release"
	"overland/internal/release/inspect"
	"overland/internal/trust"
	"overland/internal/volume"
)

// openVolume opens the volume named first in args or by --volume (from a volume's
// own stub), and returns the rest.
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

// verifySigned checks v's signatures from the root down: by the root that this
// machine knows, else by v's own. known says where the root came from; "" = from the
// volume itself, which proves nothing.
func verifySigned(ctx context.Context, c *call, v *volume.Volume) (s *inspect.Verified, known string, err error) {
	root, known, err := knownRoot(c)
	if err != nil {
		return nil, "", err
	}
	if known == "" {
		if root, err = stage.OfferedRoot(ctx, v); err != nil {
			return nil, "", err
		}
	}
	s, err = inspect.Verify(ctx, v, root, buildTime())
	return s, known, err
}

// knownRoot returns the root to verify with and where it came from; both are
// "" when this machine knows none.
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
	s, known, err := verifySigned(ctx, c, v)
	if err != nil {
		return 0, err
	}
	if known == "" {
		e.say("note: no root of trust is known here; compare this one yourself, or add --root FINGERPRINT")
		printer.Fprintf(e.out, "whole and signed, by a root that nobody here has checked: %s\n", s.Root)
		return 0, nil
	}
	printer.Fprintf(e.out, "whole and signed by root %s (%s)\n", s.Root, known)
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
		Packed int64         `json:"packed,omitempty"` // bytes in the file, when they are compressed
		Offset int64         `json:"offset"`
		Digest digest.Digest `json:"digest,omitempty"`
	}
	lines := []line{}
	for _, entry := range v.Entries() {
		lines = append(lines, line{entry.Name, entry.Size, entry.Packed, entry.Offset, entry.Digest})
	}
	if c.json {
		return 0, writeJSON(e.out, lines)
	}
	for _, l := range lines {
		printer.Fprintf(e.out, "%12d  %s\n", l.Size, l.Name)
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
	printer.Fprintf(e.out, "%s\n", rest[0])
	return 0, nil
}

func inspectVolume(ctx context.Context, e env, c *call, args []string) (int, error) {
	v, _, err := openVolume(c, args)
	if err != nil {
		return 0, err
	}
	defer v.Close()
	s, known, err := verifySigned(ctx, c, v)
	if err != nil {
		return 0, err
	}
	in, err := inspect.Volume(ctx, v)
	if err != nil {
		return 0, err
	}
	if c.json {
		return 0, writeJSON(e.out, in)
	}
	printer.Fprintf(e.out, "channel %s, root %s", in.Channel, s.Root)
	if known == "" {
		fmt.Fprint(e.out, " (the volume's own word)")
	}
	signed := "none"
	if !in.Signed.SealedAt.IsZero() {
		signed = stamp(in.Signed.SealedAt)
	}
	printer.Fprintf(e.out, "\nsigned %s\n", signed)
	for _, r := range in.Releases {
		printer.Fprintf(e.out, "\n%s@%s  %s\n", r.App, r.Version, r.Toolchain)
		if r.Problem != "" {
			printer.Fprintf(e.out, "  NOT VALID: %s\n", r.Problem)
		}
		for _, a := range r.Artifacts {
			missing := ""
			if !a.Present {
				missing = "  (not in this volume)"
			}
			if a.Isolation == release.IsolationNone {
				missing += "  (built without isolation)"
			}
			printer.Fprintf(e.out, "  %-16s %-14s %s%s\n", a.Name, a.Platform, progress.Bytes(a.Size), missing)
		}
		if len(r.Commands) > 0 {
			printer.Fprintf(e.out, "  commands  %s\n", strings.Join(r.Commands, ", "))
		}
		for _, a := range r.Runs {
			printer.Fprintf(e.out, "  runs      %s\n", a)
		}
		for _, a := range r.Asks {
			printer.Fprintf(e.out, "  asks for  %s\n", a)
		}
	}
	return 0, nil
}
