package release

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"sort"
	"strings"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"overland/internal/appfile"
	"overland/internal/digest"
	"overland/internal/platform"
	"overland/internal/store"
)

// Schema is the version of the release document that this program
// writes and the newest that it reads.
const Schema = 1

// The kinds of an artifact.
const (
	KindBinary  = "binary"  // one static program
	KindFile    = "file"    // any other file: no service runs it
	KindImage   = "image"   // a container image: its blob is its manifest
	KindPackage = "package" // a package of a distribution, for its package manager
)

// The isolations of an artifact's build.
const (
	IsolationFull = "full" // it saw its inputs and nothing else
	IsolationNone = "none" // it saw and could change what the operator can
)

// Release is the release document: everything that a node must know to run
// one version of an application.
type Release struct {
	Schema     int                        `json:"schema"` // 0 is written as Schema
	App        string                     `json:"app"`
	Version    string                     `json:"version"`            // "r412.abcdef012345"
	Commit     string                     `json:"commit,omitempty"`   // full hash; "" when no commit was built
	CommitTime time.Time                  `json:"committed,omitzero"` // never the time of the build: equal input, equal bytes
	Toolchain  string                     `json:"toolchain,omitempty"`
	Spec       digest.Digest              `json:"spec,omitempty"` // of the overland.yaml that was built
	Artifacts  []Artifact                 `json:"artifacts"`      // sorted by name, then platform.All's order
	Services   map[string]appfile.Service `json:"services,omitempty"`
	Commands   map[string]string          `json:"commands,omitempty"` // what people call on a node → the artifact that it is
	Inputs     *ocispec.Descriptor        `json:"inputs,omitempty"`   // what WriteInputs made; nil when the commit has no overland.lock
}

// Artifact is one program for one platform.
type Artifact struct {
	Name     string            `json:"name"`
	Platform platform.Platform `json:"platform"`
	File     string            `json:"file"` // plain file name for it on a node
	Kind     string            `json:"kind"` // KindBinary, KindFile, KindImage, KindPackage
	Blob     Blob              `json:"blob"`
	// Isolation is how its build was kept from the machine: IsolationFull, IsolationNone, or "" when
	// nothing of the repository ran.
	Isolation string             `json:"isolation,omitempty"`
	Manifest  ocispec.Descriptor `json:"-"` // its OCI manifest: filled by Read, made by Write
}

// Blob is content and how to fetch it piece by piece. Its fields are those of fetch.Blob.
type Blob struct {
	Digest digest.Digest `json:"digest"`
	Size   int64         `json:"size"`             // bytes
	Chunks digest.Digest `json:"chunks,omitempty"` // the list of raw chunk digests; set when Size > store.ChunkSize
}

// Ref returns the name of r.
func (r *Release) Ref() Ref { return Ref{App: r.App, Version: r.Version} }

// For returns the artifacts that a machine of platform p runs, one for each artifact name, best
// platform first: an arm/v7 machine gets arm/v6 when there is no arm/v7. Names without a
// fitting platform are left out.
func (r *Release) For(p platform.Platform) []Artifact {
	best := make(map[string]int)
	var list []Artifact
	for rank, fits := range p.Runs() {
		for _, a := range r.Artifacts {
			if _, have := best[a.Name]; a.Platform == fits && !have {
				best[a.Name] = rank
				list = append(list, a)
			}
		}
	}
	// Not slices.SortFunc, which costs the agent 20 KB for a struct of this size.
	sort.Slice(list, func(i, j int) bool { return compare(list[i], list[j]) < 0 })
	return list
}

// Platforms returns the platforms that r has artifacts for, in platform.All's order.
func (r *Release) Platforms() []platform.Platform {
	var list []platform.Platform
	for _, p := range platform.All() {
		if slices.ContainsFunc(r.Artifacts, func(a Artifact) bool { return a.Platform == p }) {
			list = append(list, p)
		}
	}
	return list
}

func compare(a, b Artifact) int {
	all := platform.All()
	return cmp.Or(cmp.Compare(a.Name, b.Name),
		cmp.Compare(slices.Index(all, a.Platform), slices.Index(all, b.Platform)))
}

// check refuses what a node must not act on. Every name in a document becomes part of a path there.
func (r *Release) check() error {
	if r.Schema != Schema {
		return fmt.Errorf("schema %d: this program reads %d", r.Schema, Schema)
	}
	if err := r.Ref().Check(); err != nil {
		return err
	}
	if len(r.Artifacts) == 0 {
		return fmt.Errorf("no artifacts")
	}
	for i, a := range r.Artifacts {
		if err := a.check(); err != nil {
			return fmt.Errorf("artifact %.100q for %.100q: %w", a.Name, string(a.Platform), err)
		}
		if i > 0 && compare(r.Artifacts[i-1], a) >= 0 {
			return fmt.Errorf("artifact %s for %s: twice, or out of order", a.Name, a.Platform)
		}
	}
	if r.App == AgentApp {
		return r.checkAgent()
	}
	if err := checkReserved(r.App); err != nil {
		return err
	}
	for name, s := range r.Services {
		if err := r.checkService(name, s); err != nil {
			return fmt.Errorf("service %.100q: %w", name, err)
		}
	}
	for name, artifact := range r.Commands {
		if err := cmp.Or(appfile.CheckCommand(name), r.checkProgram(artifact)); err != nil {
			return fmt.Errorf("commands: %w", err)
		}
	}
	if r.Inputs != nil {
		return checkInputs(*r.Inputs)
	}
	return nil
}

// checkProgram returns an error unless artifact is a program of r.
func (r *Release) checkProgram(artifact string) error {
	found := false
	for _, a := range r.Artifacts {
		found = found || a.Name == artifact
		if a.Name == artifact && a.Kind != KindBinary {
			return fmt.Errorf("artifact %.100q is not a program", artifact)
		}
	}
	if !found {
		return fmt.Errorf("artifact %.100q is not in this release", artifact)
	}
	return nil
}

func (a *Artifact) check() error {
	if err := checkName("artifact", a.Name); err != nil {
		return err
	}
	if _, err := platform.Parse(string(a.Platform)); err != nil {
		return err
	}
	if a.File == "" || len(a.File) > 255 || a.File != path.Base(a.File) || strings.HasPrefix(a.File, ".") ||
		strings.ContainsFunc(a.File, func(c rune) bool { return c <= ' ' || c == 0x7f || c == '\\' }) {
		return fmt.Errorf("%.100q is not a plain file name", a.File)
	}
	if a.Kind != KindBinary && a.Kind != KindFile && a.Kind != KindImage && a.Kind != KindPackage {
		return fmt.Errorf("kind %.100q: this program knows %q, %q, %q and %q", a.Kind, KindBinary, KindFile, KindImage, KindPackage)
	}
	if a.Kind == KindImage && a.Blob.Size > maxJSON {
		return fmt.Errorf("an image's manifest of %d bytes", a.Blob.Size)
	}
	if a.Isolation != "" && a.Isolation != IsolationFull && a.Isolation != IsolationNone {
		return fmt.Errorf("isolation %.100q: this program knows %q and %q", a.Isolation, IsolationFull, IsolationNone)
	}
	return a.Blob.check()
}

func (b Blob) check() error {
	if _, err := digest.Parse(string(b.Digest)); err != nil {
		return err
	}
	if b.Size <= 0 {
		return fmt.Errorf("%s: size %d", b.Digest, b.Size)
	}
	if (b.Size > store.ChunkSize) != (b.Chunks != "") {
		return fmt.Errorf("%s: %d bytes with chunk list %.100q", b.Digest, b.Size, string(b.Chunks))
	}
	if b.Chunks != "" {
		if _, err := digest.Parse(string(b.Chunks)); err != nil {
			return fmt.Errorf("chunk list: %w", err)
		}
	}
	return nil
}

func (r *Release) checkService(name string, s appfile.Service) error {
	if err := checkName("service", name); err != nil {
		return err
	}
	if err := cmp.Or(s.CheckKind(), s.CheckLimits(), s.CheckUser()); err != nil {
		return err
	}
	if err := r.checkProgram(s.Artifact); err != nil {
		return err
	}
	for file := range s.Files {
		if !slices.ContainsFunc(r.Artifacts, func(a Artifact) bool { return a.Name == file && a.Kind == KindFile }) {
			return fmt.Errorf("file %.100q is not in this release", file)
		}
	}
	for volume := range s.Data {
		if err := checkName("volume", volume); err != nil {
			return err
		}
	}
	return s.Rights.Check()
}
