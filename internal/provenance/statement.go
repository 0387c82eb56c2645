package provenance

import (
	"cmp"
	"encoding/json"
	"reflect"
	"strings"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/lockfile"
	"overland/internal/release"
	"overland/internal/trust"
)

// The types of what is written, as their specifications name them.
const (
	StatementType = "https://in-toto.io/Statement/v1"
	PredicateType = "https://slsa.dev/provenance/v1"
	BuildType     = "https://overland.dev/build/v1" // docs/reference/provenance.md
)

// Statement is an in-toto statement: Predicate is about each of Subject.
type Statement struct {
	Type          string    `json:"_type"`
	Subject       []Subject `json:"subject"`
	PredicateType string    `json:"predicateType"`
	Predicate     Predicate `json:"predicate"`
}

// Subject is what a statement is about, and Digest its digests, algorithm → hex digits.
type Subject struct {
	Name   string            `json:"name,omitempty"`
	Digest map[string]string `json:"digest"`
}

// Predicate is SLSA provenance.
type Predicate struct {
	BuildDefinition BuildDefinition `json:"buildDefinition"`
	RunDetails      RunDetails      `json:"runDetails"`
}

// BuildDefinition is all that decided the bytes.
type BuildDefinition struct {
	BuildType            string     `json:"buildType"`
	ExternalParameters   External   `json:"externalParameters"`
	InternalParameters   *Internal  `json:"internalParameters,omitempty"`
	ResolvedDependencies []Resource `json:"resolvedDependencies"`
}

// External is what whoever released has chosen: which artifact of which commit, and for what.
type External struct {
	Application string `json:"application"`
	Version     string `json:"version"`
	Repository  string `json:"repository,omitempty"` // hash of the first commit of its history
	Artifact    string `json:"artifact"`
	Platform    string `json:"platform"` // "linux/arm/v6"; "" = all of them, for an index
}

// Internal is what the builder has chosen.
type Internal struct {
	Toolchain string `json:"toolchain,omitempty"` // "go1.26.8"
	Isolation string `json:"isolation,omitempty"` // as release.Artifact has it
}

// Resource is one thing that a build has read.
type Resource struct {
	Name        string            `json:"name,omitempty"`
	Digest      map[string]string `json:"digest"`
	MediaType   string            `json:"mediaType,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

// RunDetails say who built.
type RunDetails struct {
	Builder Builder `json:"builder"`
}

// Builder is who built: the site whose keys sign, and the versions of what decides bytes there.
type Builder struct {
	ID      string            `json:"id"`
	Version map[string]string `json:"version"`
}

// NewBuilder returns the Builder of the site whose root is root, with this program's version and the encoder that packs layers
// and archives.
func NewBuilder(root trust.Fingerprint, version, encoder string) Builder {
	return Builder{
		ID:      builderID + strings.TrimPrefix(string(root), trust.FingerprintPrefix),
		Version: map[string]string{"overland": cmp.Or(version, "devel"), "deflate": encoder},
	}
}

const builderID = "https://overland.dev/site/" // and the fingerprint of its root

// About is what is stated of all artifacts of a release.
type About struct {
	Release    *release.Release
	Repository string         // hash of the first commit of its history
	Lock       *lockfile.Lock // nil: the commit has none
	LockDigest digest.Digest  // of overland.lock
	Builder    Builder
}

// namedInputs is the most entries of a lock that are listed one by one. A longer lock stands for what it names: a statement is
// carried with each artifact for each platform.
const namedInputs = 5000

// Of returns the statement about artifact art, for which platform, whose digests are subject.
func (a About) Of(artifact, platform, isolation string, subject ...Subject) Statement {
	d := BuildDefinition{
		BuildType: BuildType,
		ExternalParameters: External{
			Application: a.Release.App, Version: a.Release.Version, Repository: a.Repository, Artifact: artifact, Platform: platform,
		},
		ResolvedDependencies: a.dependencies(),
	}
	if i := (Internal{a.Release.Toolchain, isolation}); i != (Internal{}) {
		d.InternalParameters = &i
	}
	return Statement{
		Type: StatementType, Subject: subject, PredicateType: PredicateType,
		Predicate: Predicate{BuildDefinition: d, RunDetails: RunDetails{Builder: a.Builder}},
	}
}

// dependencies returns the commit, its overland.yaml and overland.lock, and what that names, in its order.
func (a About) dependencies() []Resource {
	list := []Resource{}
	if a.Release.Commit != "" {
		list = append(list, Resource{Name: "source", Digest: map[string]string{"gitCommit": a.Release.Commit}})
	}
	if a.Release.Spec != "" {
		list = append(list, Resource{Name: "overland.yaml", Digest: sha256(a.Release.Spec)})
	}
	if a.Lock == nil {
		return list
	}
	list = append(list, Resource{Name: lockfile.Name, Digest: sha256(a.LockDigest)})
	if len(a.Lock.Entries) > namedInputs {
		return list
	}
	for _, e := range a.Lock.Entries {
		if !e.Exists() {
			continue
		}
		r := Resource{Name: e.Protocol + " " + e.Key, Digest: sha256(e.Blob), MediaType: e.MediaType}
		if e.Proof != (lockfile.Proof{}) {
			r.Annotations = map[string]string{"proof": e.Proof.String()}
		}
		list = append(list, r)
	}
	return list
}

// SubjectOf returns what a statement says of blob d, called name.
func SubjectOf(name string, d digest.Digest) Subject { return Subject{name, sha256(d)} }

func sha256(d digest.Digest) map[string]string { return map[string]string{"sha256": d.Encoded()} }

// Covers reports whether s is about blob d.
func (s *Statement) Covers(d digest.Digest) bool {
	for _, one := range s.Subject {
		if one.Digest["sha256"] == d.Encoded() {
			return true
		}
	}
	return false
}

// IsOf reports whether s says of artifact, built for platform, what the release r says of itself: its
// commit and overland.yaml, the toolchain and the isolation. More than one key may release, and each may
// sign a statement about what another one has released.
func (s *Statement) IsOf(r *release.Release, artifact, platform, isolation string) bool {
	is, want := s.Predicate.BuildDefinition, About{Release: r}.Of(artifact, platform, isolation).Predicate.BuildDefinition
	want.ExternalParameters.Repository = is.ExternalParameters.Repository // the release does not say
	if is.BuildType != want.BuildType || is.ExternalParameters != want.ExternalParameters || !reflect.DeepEqual(is.InternalParameters, want.InternalParameters) {
		return false
	}
	said := map[string][]Resource{}
	for _, d := range is.ResolvedDependencies {
		said[d.Name] = append(said[d.Name], d)
	}
	for _, d := range want.ResolvedDependencies {
		if len(said[d.Name]) != 1 || !reflect.DeepEqual(said[d.Name][0], d) {
			return false
		}
	}
	return true
}

// parse returns the statement in b. One of another kind is errs.Invalid.
func parse(b []byte) (*Statement, error) {
	var s Statement
	if err := json.Unmarshal(b, &s); err != nil {
		return nil, errs.E(errs.Invalid, err)
	}
	if s.Type != StatementType || s.PredicateType != PredicateType {
		return nil, errs.Errorf(errs.Invalid, "a statement %.100q of %.100q, not %s", s.Type, s.PredicateType, PredicateType)
	}
	return &s, nil
}
