package operator

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"overland/internal/deflate"
	"overland/internal/errs"
	"overland/internal/operator/sealing"
	"overland/internal/platform"
	"overland/internal/printer"
	"overland/internal/progress"
	"overland/internal/release"
	"overland/internal/trust"
	"overland/internal/trust/repository"
	"overland/internal/volume"
)

// SealOptions say what goes into a volume.
type SealOptions struct {
	Channel   release.Channel // "" = build and release Source, promote it to its release.Local, seal that
	Source    SourceOptions   // used when Channel is ""
	Out       string
	Platforms []platform.Platform // empty = all that every application and the agent have; else Source is built for these alone
	Apps      []string            // whose programs go in, for nodes that have the others; empty = all
	Split     int64               // bytes per part; 0 = one file
	Inputs    bool                // what the releases were built from goes in too
	Compress  bool                // what becomes shorter
	Bare      bool                // without what is signed of how the releases were built

	Parallel int              // programs of Source built at once; 0 = 1
	TakeName release.TakeName // Source may have a name that is another repository's
}

// Sealed is a volume that was written.
type Sealed struct {
	volume.Info
	Channel     release.Channel
	Entries     []release.Entry // of the channel, whose programs are in the volume
	Platforms   []platform.Platform
	Inputs      []sealing.Inputs // with SealOptions.Inputs: of the releases that have them
	Fingerprint trust.Fingerprint
	Released    *Released // of the short path; else nil
	NewKeys     bool      // keys and metadata were made by this
	NewAgent    bool      // the channel runs a new agent from now on
	Renewed     bool      // metadata was close to its expiry and is signed anew
	Warnings    []string
}

// Seal writes what channel o.Channel runs, with all that an installation needs, into one file. The
// same state gives the same bytes.
func (p *Operator) Seal(ctx context.Context, o SealOptions) (*Sealed, error) {
	if o.Out == "" {
		return nil, errs.Hint(errs.Errorf(errs.Invalid, "where should the volume be written?"), "-o FILE")
	}
	if err := writable(o.Out); err != nil {
		return nil, err
	}
	if o.Split != 0 && o.Split < volume.MinPart {
		return nil, errs.Hint(errs.Errorf(errs.Invalid, "parts of %s: at least %s", progress.Bytes(o.Split), progress.Bytes(volume.MinPart)), "--split 650MiB")
	}
	s := &Sealed{Channel: o.Channel}
	w := &sealed{Operator: p, o: o, s: s}
	if err := w.prepare(ctx); err != nil {
		return nil, err
	}
	// What the channel cannot give is refused before anything more is signed.
	if _, err := w.choose(ctx, true); err != nil {
		return nil, err
	}
	if err := w.addAgent(ctx); err != nil {
		return nil, fmt.Errorf("the agent for the volume: %w", err)
	}
	if err := w.renew(ctx); err != nil {
		return nil, err
	}
	content, err := w.content(ctx)
	if err != nil {
		return nil, err
	}
	options := volume.Options{Split: o.Split, FS: p.o.FS, Progress: p.say.Progress}
	if o.Compress {
		options.Pack = deflate.NewWriter
	}
	s.Info, err = volume.Seal(ctx, o.Out, content, options)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// writable refuses a place where no file can be written, before minutes go into what it would hold.
func writable(file string) error {
	if info, err := os.Stat(file); err == nil && info.IsDir() {
		return errs.Hint(errs.Errorf(errs.Invalid, "%s is a folder", file), "name the file: -o %s", filepath.Join(file, "app.volume"))
	}
	dir := filepath.Dir(file)
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return errs.Hint(errs.Errorf(errs.NotFound, "there is no folder %s to write %s to", dir, filepath.Base(file)), "mkdir -p %s", dir)
	}
	return nil
}

// sealed is one Seal under way.
type sealed struct {
	*Operator
	o    SealOptions
	s    *Sealed
	repo *repository.Repository
}

func (w *sealed) now() time.Time { return w.Operator.o.Clock.Or()() }

// choose returns what goes into the volume; before: what would go in beside the agent, which is
// looked for later, were all signatures renewed that can be.
func (w *sealed) choose(ctx context.Context, before bool) (*sealing.Choice, error) {
	now, err := w.repo.Read(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := runs(now, w.s.Channel); err != nil {
		return nil, err
	}
	at := w.now()
	if before {
		at = time.Time{}
	}
	return sealing.Choose(ctx, w.depot, now, sealing.Options{
		Channel: w.s.Channel, Platforms: w.o.Platforms, Apps: w.o.Apps, Inputs: w.o.Inputs, At: at, NoAgent: before,
	})
}

// prepare opens the metadata and makes sure that the channel runs something: along the short path
// when no channel was asked for.
func (w *sealed) prepare(ctx context.Context) (err error) {
	if w.o.Channel != "" {
		w.repo, err = w.Repository(ctx)
		return err
	}
	// The source is looked at first: without one there is no reason to make keys.
	src, err := w.source(ctx, w.o.Source)
	if err != nil {
		return err
	}
	if w.o.Inputs {
		if err := w.checkInputs(ctx, src); err != nil {
			return err
		}
	}
	if w.repo, w.s.NewKeys, err = w.ensureTrust(ctx); err != nil {
		return err
	}
	w.s.Channel = release.Local(src.App.Name)
	if w.s.Released, err = w.release(ctx, w.repo, src, ReleaseOptions{Take: w.o.TakeName, Platforms: w.o.Platforms, Parallel: w.o.Parallel}); err != nil {
		return err
	}
	_, err = release.Promote(ctx, w.repo, w.s.Released.Ref, w.s.Channel, w.o.TakeName)
	return err
}

// addAgent gives the channel this machine's agent. Where that needs somebody else's signature, the
// agent that the channel has goes into the volume, with a warning.
func (w *sealed) addAgent(ctx context.Context) error {
	promoted, err := w.promoteAgent(ctx)
	w.s.NewAgent = promoted
	if k := errs.KindOf(err); err == nil || (k != errs.Partial && k != errs.Denied && k != errs.Conflict) {
		return err
	}
	if !w.hasAgent(ctx) {
		return err
	}
	w.s.Warnings = append(w.s.Warnings, fmt.Sprintf("the channel's older agent is sealed: %v", err))
	return nil
}

// renew signs again what expires soon. What needs a key that is not here is a warning while it is
// valid; an expired statement that nodes would refuse is an error of kind Untrusted.
func (w *sealed) renew(ctx context.Context) error {
	before, err := w.timestamp(ctx)
	if err != nil {
		return err
	}
	switch err := w.repo.Refresh(ctx); {
	case errs.KindOf(err) == errs.Partial:
		w.s.Warnings = append(w.s.Warnings, printer.Error(err))
	case err != nil:
		return err
	}
	after, err := w.timestamp(ctx)
	if err != nil {
		return err
	}
	w.s.Renewed = !bytes.Equal(before, after)
	return w.refuseExpired(ctx)
}

func (w *sealed) timestamp(ctx context.Context) ([]byte, error) {
	return w.repo.Metadata(ctx, trust.WireName("timestamp", 0), trust.MaxTimestamp)
}

// refuseExpired returns an error when what all applications of the channel rest on is past its
// expiry. An application whose own statement is, is left out: see sealing.Choose.
func (w *sealed) refuseExpired(ctx context.Context) error {
	state, err := w.repo.Read(ctx)
	if err != nil {
		return err
	}
	chain := []string{"root", "targets", "snapshot", "timestamp", w.s.Channel.Role()}
	info, err := state.Show(nil)
	if err != nil {
		return err
	}
	for _, r := range info.Roles {
		if slices.Contains(chain, r.Role) && r.Expires.Before(w.now()) {
			return errs.Hint(errs.Errorf(errs.Untrusted, "the signed statement of %s expired at %s", r.Role, r.Expires.Format(time.RFC3339)),
				"overland trust refresh, where the keys of %s are", r.Role)
		}
	}
	return nil
}

// content returns what goes into the volume, and fills s.
func (w *sealed) content(ctx context.Context) (volume.Content, error) {
	c, err := w.choose(ctx, false)
	if err != nil {
		return volume.Content{}, err
	}
	s := w.s
	s.Entries, s.Platforms, s.Inputs, s.Fingerprint = c.Entries, c.Platforms, c.Inputs, c.Root()
	s.Warnings = append(s.Warnings, c.Warnings...)
	v, err := c.Content(ctx)
	if err == nil && !w.o.Bare {
		err = w.addProvenance(ctx, &v)
	}
	return v, err
}
