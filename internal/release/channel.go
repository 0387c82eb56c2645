package release

import (
	"encoding/json"
	"fmt"
	"net/url"
	"sort"
	"strconv"
	"strings"
	"time"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/store"
	"overland/internal/trust"
)

// Entry is what a channel says about one application.
type Entry struct {
	App     string
	Version string
	Digest  digest.Digest // of the release's OCI index
	Size    int64         // of the index, bytes
	Since   time.Time     // when it was promoted: filled by Show, zero on a node
	From    Channel       // the channel it came from; "" when it was promoted by name

	Repository string // see Origin; "" for the agent

	Promotion int64     // number of the promotion: the version of the channel's role that it was made for
	Fallback  *Fallback // to which one signer may return; nil = none
	Back      *Back     // the channel stands on the fallback; nil = on its promotion
	Doubt     error     // why it is not known whether it does, or what was signed in vain; nil = nothing
}

// Ref returns the name of the entry's release.
func (e Entry) Ref() Ref { return Ref{App: e.App, Version: e.Version} }

// statement is the custom part of a channel's target.
type statement struct {
	Version  string  `json:"version"`
	From     Channel `json:"from,omitempty"`
	Rollback bool    `json:"rollback,omitempty"` // returns to an earlier statement: Before does not count those between

	Repository string `json:"repository,omitempty"` // of the release: see Origin

	Promotion int64     `json:"promotion,omitempty"` // the version of the role that it was made for
	Fallback  *Fallback `json:"fallback,omitempty"`  // what ran before, to which one signer may return
}

// parseEntries returns what the statements of channel ch say, sorted by application. A statement
// that cannot be read is among refused.
func parseEntries(ch Channel, targets map[string]trust.TargetFile) (list []Entry, refused []Refused) {
	for path, t := range targets {
		app := strings.TrimPrefix(path, ch.Role()+"/")
		e, _, err := parseEntry(app, t)
		if err != nil {
			if !nameForm.MatchString(app) {
				app = strconv.Quote(app) // it may hold anything, and is printed
			}
			refused = append(refused, Refused{Entry: Entry{App: app}, Err: errs.E(errs.Untrusted, fmt.Errorf("channel %s: %w", ch, err))})
			continue
		}
		list = append(list, e)
	}
	sortEntries(list)
	return list, refused
}

// Says returns what targets, the statements of channel ch, say, sorted by application, but for those
// that cannot be read.
func Says(ch Channel, targets map[string]trust.TargetFile) []Entry {
	list, _ := parseEntries(ch, targets)
	return list
}

// sortEntries sorts by application; not slices.SortFunc, which costs the agent 20 KB for a struct of this size.
func sortEntries(list []Entry) {
	sort.Slice(list, func(i, j int) bool { return list[i].App < list[j].App })
}

func parseEntry(app string, t trust.TargetFile) (Entry, statement, error) {
	var s statement
	if err := json.Unmarshal(t.Custom, &s); err != nil {
		return Entry{}, s, fmt.Errorf("application %.100q: %w", app, err)
	}
	e := Entry{App: app, Version: s.Version, Digest: t.Digest, Size: t.Size, From: s.From, Repository: s.Repository, Promotion: s.Promotion, Fallback: s.Fallback}
	if err := e.Ref().Check(); err != nil {
		return Entry{}, s, err
	}
	if f := s.Fallback; f != nil {
		if err := (Ref{App: app, Version: f.Version}).Check(); err != nil {
			return Entry{}, s, fmt.Errorf("fallback: %w", err)
		}
		if _, err := digest.Parse(string(f.Digest)); err != nil {
			return Entry{}, s, fmt.Errorf("fallback: %w", err)
		}
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
