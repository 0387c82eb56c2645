package keys

import (
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"overland/internal/errs"
	"overland/internal/trust"
)

// New makes the key name. With a nil passphrase Options.NewPassphrase says which; an empty one makes a
// file that only its mode protects. errs.Conflict when there is one.
func (k *Dir) New(name string, passphrase []byte) (trust.PublicKey, error) {
	if name == Root {
		return k.NewRoot(name, passphrase)
	}
	return k.make(name, passphrase, k.dir)
}

// NewRoot is New for a key of root: its private half lies in Options.Root.
func (k *Dir) NewRoot(name string, passphrase []byte) (trust.PublicKey, error) {
	return k.make(name, passphrase, k.o.Root)
}

// make makes the key name, its private half in folder.
func (k *Dir) make(name string, passphrase []byte, folder string) (trust.PublicKey, error) {
	if err := checkKeyName(name); err != nil {
		return trust.PublicKey{}, err
	}
	if _, here := k.secret(name); here || k.exists(name+".pub") {
		return trust.PublicKey{}, k.taken(name)
	}
	passphrase, err := k.newPassphrase(name, passphrase)
	if err != nil {
		return trust.PublicKey{}, fmt.Errorf("new key %s: %w", name, err)
	}
	pub, err := k.write(name, passphrase, folder, k.create)
	if errors.Is(err, fs.ErrExist) {
		err = k.taken(name) // by another process, a moment ago
	}
	return pub, err
}

// newPassphrase returns given, or if that is nil what a person chooses for the new key name.
func (k *Dir) newPassphrase(name string, given []byte) ([]byte, error) {
	if given != nil || k.o.NewPassphrase == nil {
		return given, nil
	}
	return k.o.NewPassphrase(name)
}

func (k *Dir) taken(name string) error {
	return errs.Hint(errs.Errorf(errs.Conflict, "key %s exists in %s", name, k.dir), "overland key rotate %s replaces it", name)
}

// create puts data at path unless something is there: fs.ErrExist. Two processes that make one key
// at the same moment would otherwise leave the halves of different keys.
func (k *Dir) create(path string, data []byte, mode fs.FileMode) error {
	w, err := k.o.FS.Create(path, mode)
	if err != nil {
		return err
	}
	defer w.Discard()
	if _, err := w.Write(data); err != nil {
		return err
	}
	if err := w.Sync(); err != nil {
		return err
	}
	switch err := k.o.FS.Link(w.Name(), path); {
	case errors.Is(err, fs.ErrExist):
		return err
	case err != nil:
		return w.Commit() // a file system without hard links
	}
	return k.o.FS.SyncDir(filepath.Dir(path))
}

// write makes a key and its two files, the private one in folder by put.
func (k *Dir) write(name string, passphrase []byte, folder string, put func(string, []byte, fs.FileMode) error) (trust.PublicKey, error) {
	pub, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return trust.PublicKey{}, fmt.Errorf("new key %s: %w", name, err)
	}
	secret, err := encodePrivate(priv, passphrase, k.o.Work)
	if err != nil {
		return trust.PublicKey{}, fmt.Errorf("new key %s: %w", name, err)
	}
	for _, dir := range []string{k.dir, folder} {
		if err := k.o.FS.Mkdir(dir, 0o700); err != nil {
			return trust.PublicKey{}, fmt.Errorf("new key %s: %w", name, err)
		}
	}
	// The private half first: a lone .key is repaired from itself, a lone .pub
	// would name a key that never was.
	if err := put(filepath.Join(folder, name+".key"), secret, 0o600); err != nil {
		return trust.PublicKey{}, fmt.Errorf("new key %s: %w", name, err)
	}
	if err := k.o.FS.WriteFile(k.path(name+".pub"), EncodePublic(pub), 0o644); err != nil {
		return trust.PublicKey{}, fmt.Errorf("new key %s: %w", name, err)
	}
	made, err := trust.NewPublicKey(pub)
	if err == nil && len(passphrase) > 0 && k.o.NewPassphrase != nil {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.open[made.ID], k.last = priv, passphrase // whoever has just typed it is not asked again
	}
	return made, err
}

// Import keeps the public key of another signer under name. errs.Conflict when name is another key.
func (k *Dir) Import(name string, pub trust.PublicKey) error {
	if err := checkKeyName(name); err != nil {
		return err
	}
	if have, err := k.Public(name); err == nil {
		if have.ID == pub.ID {
			return nil
		}
		return errs.Errorf(errs.Conflict, "import key %s: another key has that name", name)
	}
	if err := k.o.FS.Mkdir(k.dir, 0o700); err != nil {
		return fmt.Errorf("import key %s: %w", name, err)
	}
	return k.o.FS.WriteFile(k.path(name+".pub"), EncodePublic(pub.Key), 0o644)
}

// Successor returns the key that will take the place of name: NAME.next,
// made when it is not there yet.
func (k *Dir) Successor(name string, passphrase []byte) (trust.PublicKey, error) {
	if err := checkKeyName(name + ".next"); err != nil {
		return trust.PublicKey{}, err
	}
	if k.exists(name + ".next.pub") {
		return k.Public(name + ".next")
	}
	passphrase, err := k.newPassphrase(name, passphrase)
	if err != nil {
		return trust.PublicKey{}, fmt.Errorf("successor of key %s: %w", name, err)
	}
	path, here := k.secret(name)
	if !here && name == Root {
		path = filepath.Join(k.o.Root, name+".key")
	}
	// A lone .key was cut off while it was made: nothing was ever signed for it.
	return k.write(name+".next", passphrase, filepath.Dir(path), k.o.FS.WriteFile)
}

// Relock encrypts the private key name anew: with passphrase, or with what Options.NewPassphrase says
// when that is nil. An empty one leaves it in the clear. Its own passphrase is asked for before.
func (k *Dir) Relock(name string, passphrase []byte) error {
	path, here := k.secret(name)
	if !here {
		return errs.Hint(errs.Errorf(errs.NotFound, "key %s: its private half is not in %s", name, k.dir), "overland key list")
	}
	k.mu.Lock()
	priv, err := k.private(name)
	k.mu.Unlock()
	if err != nil {
		return err
	}
	if passphrase, err = k.newPassphrase(name, passphrase); err != nil {
		return fmt.Errorf("key %s: %w", name, err)
	}
	b, err := encodePrivate(priv, passphrase, k.o.Work)
	if err != nil {
		return fmt.Errorf("key %s: %w", name, err)
	}
	return k.o.FS.WriteFile(path, b, 0o600)
}

// Retire gives the name of the key old to its successor. The public half of old stays as
// retired/NAME-ID.pub, so that old signatures have a name; its private half stays beside it only if it
// has a passphrase, else it is gone.
func (k *Dir) Retire(name string, old trust.PublicKey) error {
	failed := func(err error) error { return fmt.Errorf("retire key %s: %w", name, err) }
	// Private halves first: until the last rename, NAME.pub still says which key is being retired.
	next, _ := k.secret(name + ".next")
	for _, half := range []struct{ folder, ext string }{{filepath.Dir(next), ".key"}, {k.dir, ".pub"}} {
		next, now := filepath.Join(half.folder, name+".next"+half.ext), filepath.Join(half.folder, name+half.ext)
		retired := filepath.Join(half.folder, "retired")
		aside := filepath.Join(retired, name+"-"+old.ID[:16]+half.ext)
		if err := k.o.FS.Mkdir(retired, 0o700); err != nil {
			return failed(err)
		}
		if !exists(next) {
			continue
		}
		if b, _, err := k.files.read(now); err == nil && !exists(aside) && (half.ext == ".pub" || isLocked(b)) {
			if err := k.o.FS.Link(now, aside); err != nil {
				return failed(err)
			}
		}
		if err := k.o.FS.Rename(next, now); err != nil {
			return failed(err)
		}
		for _, dir := range []string{retired, half.folder} {
			if err := k.o.FS.SyncDir(dir); err != nil {
				return failed(err)
			}
		}
	}
	return nil
}
