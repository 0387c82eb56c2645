package repository

import (
	"context"
	"errors"
	"strings"

	"overland/internal/trust"
)

// StagedDir is the folder, in the names of Files, of changes that wait for
// signatures: "staged/4.root.json".
const StagedDir = "staged/"

// cutStaged returns name without StagedDir, and whether it is below it.
func cutStaged(name string) (file string, ok bool) { return strings.CutPrefix(name, StagedDir) }

// ErrMoved is wrapped by the error of Files.Commit when another writer was
// first. Nothing was written then.
var ErrMoved = errors.New("changed by another writer in the meantime")

// Files keeps the files of one repository: metadata by its name on the wire
// ("3.app%2Fwallet.json"), and staged changes below StagedDir. It is safe for concurrent use by
// several processes. trusttest.Files is its contract, which every implementation passes.
//
// It needs no rename, no link and no lock of its storage: a store with one conditional write, or a
// database with transactions, can be one.
type Files interface {
	// List returns the names of all files, in any order, and the revision that they are at; no
	// names when there is no repository yet.
	List(ctx context.Context) (names []string, at Revision, err error)
	// Read returns the file name. The error wraps fs.ErrNotExist when there is none,
	// trust.ErrTooLarge when it is longer than limit bytes.
	Read(ctx context.Context, name string, limit int64) ([]byte, error)
	// Commit makes changes, in their order, if the files are still at revision base, and
	// returns the revision after them; else it makes none, and the error wraps ErrMoved.
	// When it is interrupted, the first n changes are made, for some n. Readers may see
	// the files between two changes.
	Commit(ctx context.Context, base Revision, changes []Change) (Revision, error)
}

// Revision names one state of all files: an opaque text that differs after each Commit.
type Revision string

// Change puts one file, whole or not at all; nil Data removes it, and a
// missing file is no error then.
type Change struct {
	Name string
	Data []byte
}

// Keys are the keys that a machine has. keys.Dir is one; trusttest.Keys is the contract.
type Keys interface {
	// List returns the keys, sorted by name.
	List() ([]trust.KeyInfo, error)
	// Public returns the public half of the key name; errs.NotFound when there is none.
	Public(name string) (trust.PublicKey, error)
	// New makes the key name; errs.Conflict when there is one. With an empty passphrase it is not
	// encrypted; with nil whoever has the keys may be asked for one.
	New(name string, passphrase []byte) (trust.PublicKey, error)
	// ByID returns a signer with the key id, nil when this machine cannot sign with it.
	ByID(id string) (trust.Signer, error)
	// Successor returns the key that will take the place of name, made when it is not there yet.
	Successor(name string, passphrase []byte) (trust.PublicKey, error)
	// Retire puts the key old, called name, aside and gives its name to its
	// successor. It may be repeated.
	Retire(name string, old trust.PublicKey) error
}
