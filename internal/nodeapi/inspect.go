package nodeapi

import (
	"time"

	"overland/internal/digest"
	"overland/internal/platform"
)

// Inspection is what is inside a release, a volume or a program. It depends on nothing
// but the bytes that were looked at, so `overland inspect --json` and `sh FILE inspect
// --json` print the same of one file.
type Inspection struct {
	Kind     string    `json:"kind"` // "release", "volume" or "file"
	Name     string    `json:"name"` // APP@VERSION, or the file's name without its folder
	Size     int64     `json:"size"` // bytes of the volume or file; of all programs of a release
	Channel  string    `json:"channel,omitempty"`
	Releases []Release `json:"releases,omitempty"`
	Program  *Program  `json:"program,omitempty"` // of a file
	Root     *Root     `json:"root,omitempty"`    // of a file that is the tar of a root file system
	Signed   *Signed   `json:"signed,omitempty"`
}

// Release is one release and what it was built from.
type Release struct {
	App       string        `json:"app"`
	Version   string        `json:"version"`
	Digest    digest.Digest `json:"digest"`
	Commit    string        `json:"commit,omitempty"`
	Dirty     bool          `json:"dirty,omitempty"` // built of the folder as it was, on top of Commit
	Committed time.Time     `json:"committed,omitzero"`
	Toolchain string        `json:"toolchain,omitempty"`
	Channels  []string      `json:"channels,omitempty"` // that run it
	Services  []string      `json:"services,omitempty"`
	Commands  []string      `json:"commands,omitempty"` // that people call
	Runs      []string      `json:"runs,omitempty"`     // what services do beyond staying up: "web: port 8080"
	Asks      []string      `json:"asks,omitempty"`     // what services ask for beyond the least: "web: capabilities net_bind_service"
	Artifacts []Artifact    `json:"artifacts"`
	Inputs    *Inputs       `json:"inputs,omitempty"`
	// Provenance are the ids of the keys that have signed how all artifacts were built, as the keys that may release; empty =
	// it is not signed, or not here. Unproved says why what is there does not hold.
	Provenance []string `json:"provenance,omitempty"`
	Unproved   string   `json:"unproved,omitempty"`
	Problem    string   `json:"problem,omitempty"` // why nobody may act on it; the volume's others are not touched by that
}

// Artifact is an artifact for one platform.
type Artifact struct {
	Name     string            `json:"name"`
	Platform platform.Platform `json:"platform"`
	Present  bool              `json:"present"` // false: left out of the volume
	// Isolation is how what made it was kept from the machine: "full", "none", "" = nothing of the repository ran.
	Isolation string `json:"isolation,omitempty"`
	Program
	Root *Root `json:"root,omitempty"` // of a root file system, and of an image that holds one
}

// Root is what a root file system says of itself, as a scanner reads it.
type Root struct {
	Distribution string   `json:"distribution,omitempty"` // "Debian GNU/Linux 13 (trixie)"
	Packages     []string `json:"packages"`               // package URLs, sorted
	Without      []string `json:"without,omitempty"`      // dependencies that no package in it meets: "base-files without awk"
}

// Program is one program and what it was made of.
type Program struct {
	Digest  digest.Digest `json:"digest"`
	Size    int64         `json:"size"`              // bytes
	Go      string        `json:"go,omitempty"`      // the toolchain, as the program itself says
	Package string        `json:"package,omitempty"` // of its main function
	Modules []Module      `json:"modules,omitempty"` // the main module first
}

// Module is a Go module inside a program.
type Module struct {
	Path    string `json:"path"`
	Version string `json:"version,omitempty"` // "" for the main module, which has the release's
	Sum     string `json:"sum,omitempty"`     // "h1:…", of what was built
	Replace string `json:"replace,omitempty"` // what was built in its place: "example.org/fork v1.2.3", "./folder"
}

// Inputs are what a release was built from.
type Inputs struct {
	Digest    digest.Digest `json:"digest"`              // of their list
	Present   bool          `json:"present"`             // false: left out of the volume, or not all in the depot
	Blobs     int           `json:"blobs,omitempty"`     // that the lock names
	Bytes     int64         `json:"bytes,omitempty"`     // of the lock, the source and the blobs
	Source    int64         `json:"source,omitempty"`    // bytes of the source alone
	Protocols []Protocol    `json:"protocols,omitempty"` // sorted by name
}

// Protocol is one protocol's part of a lock.
type Protocol struct {
	Name    string `json:"name"`
	Entries int    `json:"entries"`
	Bytes   int64  `json:"bytes"`
}

// Signed says what is signed, and whether the signatures hold.
type Signed struct {
	Fingerprint string    `json:"fingerprint"` // of the root that the volume carries; compare it
	SealedAt    time.Time `json:"sealedAt,omitzero"`
	Expires     time.Time `json:"expires,omitzero"`
	Roles       []Role    `json:"roles"`
	Problem     string    `json:"problem,omitempty"` // why the signatures do not hold; "" = they do
}

// Role is one piece of signed metadata and who signed it.
type Role struct {
	Name     string    `json:"name"`
	Version  int64     `json:"version"`
	Expires  time.Time `json:"expires"`
	SignedBy []string  `json:"signedBy"` // key ids
}
