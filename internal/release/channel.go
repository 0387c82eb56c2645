package release

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"sort"
	"strings"
	"time"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/store"
	"overland/internal/trust"
	"overland/internal/trust/client"
)

// Entry is what a channel says about one application.
type Entry struct {
	App     string
	Version string
	Digest  digest.Digest // of the release's OCI index
	Size    int64         // of the index, bytes
	Since   time.Time     // when it was promoted: filled by Show, zero on a node
	From    Channel       // the channel it came from; "" when it was promoted by name
}

// Ref returns the name of the entry's release.
func (e Entry) Ref() Ref { return Ref{App: e.App, Version: e.Version} }

// Current returns what channel ch runs, sorted by application, as the verified metadata of node
// client c says. An entry is returned only when the application's own role has signed the same
// digest under the same version: a key that may promote cannot release. Anything else is an error
// of kind Untrusted, and an unknown channel one of kind NotFound.
func Current(ctx context.Context, c *client.Client, ch Channel) ([]Entry, error) {
	if _, err := ParseChannel(string(ch)); err != nil {
		return nil, err
	}
	targets, err := c.Targets(ctx, ch.Role())
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) || errs.KindOf(err) == errs.NotFound {
			return nil, errs.E(errs.NotFound, fmt.Errorf("no channel %q: %w", ch, err))
		}
		return nil, fmt.Errorf("channel %s: %w", ch, err)
	}
	entries, err := parseEntries(ch, targets)
	if err != nil {
		return nil, errs.E(errs.Untrusted, err)
	}
	for _, e := range entries {
		t, err := c.Target(ctx, Path(e.Ref()))
		if err != nil {
			return nil, errs.E(untrustedUnlessAway(err), fmt.Errorf("channel %s: %s is not a signed release: %w", ch, e.Ref(), err))
		}
		if t.Digest != e.Digest || t.Size != e.Size {
			return nil, errs.Errorf(errs.Untrusted, "channel %s: %s is %s there, but its release is signed as %s", ch, e.Ref(), e.Digest, t.Digest)
		}
	}
	return entries, nil
}

// untrustedUnlessAway returns the kind of an error met while looking for a release's own signature.
func untrustedUnlessAway(err error) errs.Kind {
	switch k := errs.KindOf(err); k {
	case errs.Unavailable, errs.Cancelled:
		return k
	default:
		return errs.Untrusted
	}
}

// statement is the custom part of a channel's target.
type statement struct {
	Version  string  `json:"version"`
	From     Channel `json:"from,omitempty"`
	Rollback bool    `json:"rollback,omitempty"` // returns to an earlier statement: Before does not count those between
}

func parseEntries(ch Channel, targets map[string]trust.TargetFile) ([]Entry, error) {
	list := make([]Entry, 0, len(targets))
	for path, t := range targets {
		app, ok := strings.CutPrefix(path, ch.Role()+"/")
		if !ok {
			return nil, fmt.Errorf("channel %s: %.100q does not belong there", ch, path)
		}
		e, _, err := parseEntry(app, t)
		if err != nil {
			return nil, fmt.Errorf("channel %s: %w", ch, err)
		}
		list = append(list, e)
	}
	// Not slices.SortFunc, which costs the agent 20 KB for a struct of this size.
	sort.Slice(list, func(i, j int) bool { return list[i].App < list[j].App })
	return list, nil
}

func parseEntry(app string, t trust.TargetFile) (Entry, statement, error) {
	var s statement
	if err := json.Unmarshal(t.Custom, &s); err != nil {
		return Entry{}, s, fmt.Errorf("application %.100q: %w", app, err)
	}
	e := Entry{App: app, Version: s.Version, Digest: t.Digest, Size: t.Size, From: s.From}
	if err := e.Ref().Check(); err != nil {
		return Entry{}, s, err
	}
	return e, s, nil
}

// AnnotationChannel names, on each release in the index.json of a volume, the channel that
// was sealed. It is not signed: it only says what to install when nobody says otherwise;
// what the channel runs is signed.
const AnnotationChannel = "dev.overland.channel"

// MetadataChannel returns the channel whose statements the metadata file name holds
// ("3.channel%2Flive.json"), or "" for any other file.
func MetadataChannel(name string) Channel {
	_, role, ok := strings.Cut(strings.TrimSuffix(name, ".json"), ".")
	if !ok {
		return ""
	}
	role, err := url.PathUnescape(role)
	if err != nil {
		return ""
	}
	channel, ok := strings.CutPrefix(role, "channel/")
	if !ok {
		return ""
	}
	return Channel(channel)
}

// SealedChannel returns the channel named in index, the index.json of a
// volume. The error is of kind Invalid.
func SealedChannel(index []byte) (Channel, error) {
	list, err := store.ParseIndex(index)
	if err != nil {
		return "", err
	}
	var found Channel
	for _, d := range list {
		ch, err := ParseChannel(d.Annotations[AnnotationChannel])
		if err != nil {
			return "", err
		}
		if found != "" && found != ch {
			return "", errs.Errorf(errs.Invalid, "two channels in one volume: %s and %s", found, ch)
		}
		found = ch
	}
	if found == "" {
		return "", errs.Errorf(errs.Invalid, "no channel in this volume")
	}
	return found, nil
}
