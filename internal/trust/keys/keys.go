package keys

import (
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"

	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/trust"
)

// Options are the settings of a Dir; the zero value works.
type Options struct {
	FS fsx.FS
	// Passphrase is asked for the passphrase of key name; nil: keys
	// with a passphrase cannot be used.
	Passphrase func(name string) ([]byte, error)
}

// Dir is a directory of key files: NAME.key (private, mode 0600) and NAME.pub. A file is opened
// again only when it has changed. It is safe for concurrent use.
type Dir struct {
	dir   string
	o     Options
	files *files

	mu   sync.Mutex
	open map[string]ed25519.PrivateKey // by key id, so that a passphrase is asked for once
}

var keyName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// Open opens the directory dir of keys; it is made when the first key is.
func Open(dir string, o Options) (*Dir, error) {
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, fmt.Errorf("open keys: %w", err)
	case !info.IsDir():
		return nil, errs.Errorf(errs.Invalid, "open keys %s: not a directory", dir)
	}
	return &Dir{dir: dir, o: o, files: &files{seen: map[string]seen{}}, open: map[string]ed25519.PrivateKey{}}, nil
}

// Asking returns k for another person, who is asked for passphrases: what was read is shared, keys
// that a passphrase has unlocked are not. nil: keys with a passphrase cannot be used.
func (k *Dir) Asking(passphrase func(name string) ([]byte, error)) *Dir {
	o := k.o
	o.Passphrase = passphrase
	return &Dir{dir: k.dir, o: o, files: k.files, open: map[string]ed25519.PrivateKey{}}
}

// New makes the key name. With no passphrase the file's mode is its only protection.
// errs.Conflict when there is one.
func (k *Dir) New(name string, passphrase []byte) (trust.PublicKey, error) {
	if err := checkKeyName(name); err != nil {
		return trust.PublicKey{}, err
	}
	if k.exists(name+".key") || k.exists(name+".pub") {
		return trust.PublicKey{}, k.taken(name)
	}
	pub, err := k.write(name, passphrase, k.create)
	if errors.Is(err, fs.ErrExist) {
		err = k.taken(name) // by another process, a moment ago
	}
	return pub, err
}

func (k *Dir) taken(name string) error {
	return errs.Hint(errs.Errorf(errs.Conflict, "key %s exists in %s", name, k.dir), "overland key rotate %s replaces it", name)
}

// create puts data at path unless something is there: fs.ErrExist. Two processes that make one key
// at the same moment would else leave the halves of different keys.
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
	return k.o.FS.SyncDir(k.dir)
}

// write makes a key and its two files; put writes the private one.
func (k *Dir) write(name string, passphrase []byte, put func(string, []byte, fs.FileMode) error) (trust.PublicKey, error) {
	pub, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return trust.PublicKey{}, fmt.Errorf("new key %s: %w", name, err)
	}
	secret, err := encodePrivate(priv, passphrase)
	if err != nil {
		return trust.PublicKey{}, fmt.Errorf("new key %s: %w", name, err)
	}
	if err := k.o.FS.Mkdir(k.dir, 0o700); err != nil {
		return trust.PublicKey{}, fmt.Errorf("new key %s: %w", name, err)
	}
	// The private half first: a lone .key is repaired from itself, a lone .pub
	// would name a key that never was.
	if err := put(k.path(name+".key"), secret, 0o600); err != nil {
		return trust.PublicKey{}, fmt.Errorf("new key %s: %w", name, err)
	}
	if err := k.o.FS.WriteFile(k.path(name+".pub"), EncodePublic(pub), 0o644); err != nil {
		return trust.PublicKey{}, fmt.Errorf("new key %s: %w", name, err)
	}
	return trust.NewPublicKey(pub)
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

// names returns the names of the keys, sorted.
func (k *Dir) names() ([]string, error) {
	entries, err := os.ReadDir(k.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list keys: %w", err)
	}
	var names []string
	for _, e := range entries {
		ext := filepath.Ext(e.Name())
		if name := strings.TrimSuffix(e.Name(), ext); (ext == ".key" || ext == ".pub") && keyName.MatchString(name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// List returns the keys, sorted by name.
func (k *Dir) List() ([]trust.KeyInfo, error) {
	names, err := k.names()
	if err != nil {
		return nil, err
	}
	var out []trust.KeyInfo
	for _, name := range names {
		pub, err := k.Public(name)
		if err != nil {
			return nil, err
		}
		info := trust.KeyInfo{Name: name, ID: pub.ID, Private: k.exists(name + ".key")}
		if info.Private {
			b, err := k.readPrivate(name)
			if err != nil {
				return nil, err
			}
			info.Locked = isLocked(b)
		}
		out = append(out, info)
	}
	return out, nil
}

// Public returns the public key name. errs.NotFound when there is none; errs.Denied when
// a private key is in its place.
func (k *Dir) Public(name string) (trust.PublicKey, error) {
	if err := checkKeyName(name); err != nil {
		return trust.PublicKey{}, err
	}
	b, _, err := k.files.read(k.path(name + ".pub"))
	if errors.Is(err, fs.ErrNotExist) {
		if k.exists(name + ".key") {
			return k.repair(name)
		}
		err = errs.Errorf(errs.NotFound, "key %s: not in %s", name, k.dir)
		return trust.PublicKey{}, errs.Hint(err, "overland key list shows the keys, overland key new %s makes one", name)
	}
	if err != nil {
		return trust.PublicKey{}, fmt.Errorf("key %s: %w", name, err)
	}
	pub, err := ParsePublic(b)
	if err != nil {
		return trust.PublicKey{}, fmt.Errorf("key %s: %w", k.path(name+".pub"), err)
	}
	return pub, nil
}

// repair makes NAME.pub from NAME.key: a crash between the two files of
// New leaves only the private one.
func (k *Dir) repair(name string) (trust.PublicKey, error) {
	priv, err := k.private(name)
	if err != nil {
		return trust.PublicKey{}, err
	}
	pub, err := trust.NewPublicKey(priv.Public().(ed25519.PublicKey))
	if err != nil {
		return trust.PublicKey{}, fmt.Errorf("key %s: %w", name, err)
	}
	return pub, k.o.FS.WriteFile(k.path(name+".pub"), EncodePublic(pub.Key), 0o644)
}

// private reads NAME.key, asking for its passphrase when it has one.
func (k *Dir) private(name string) (ed25519.PrivateKey, error) {
	b, err := k.readPrivate(name)
	if err != nil {
		return nil, err
	}
	var passphrase []byte
	if isLocked(b) {
		if k.o.Passphrase == nil {
			return nil, errs.Errorf(errs.Denied, "key %s: needs its passphrase, and nobody is here to give it", name)
		}
		if passphrase, err = k.o.Passphrase(name); err != nil {
			return nil, fmt.Errorf("key %s: passphrase: %w", name, err)
		}
	}
	priv, err := decodePrivate(b, passphrase)
	if err != nil {
		return nil, fmt.Errorf("key %s: %w", name, err)
	}
	return priv, nil
}

// Signer returns a signer with the private key name. errs.NotFound when it is not here, errs.Denied
// when its file may be read by others or its passphrase is wrong.
func (k *Dir) Signer(name string) (trust.Signer, error) {
	pub, err := k.Public(name)
	if err != nil {
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if priv, ok := k.open[pub.ID]; ok {
		return signer{pub, priv}, nil
	}
	priv, err := k.private(name)
	if err != nil {
		return nil, err
	}
	if !pub.Key.Equal(priv.Public()) {
		return nil, errs.Errorf(errs.Denied, "key %s: %s.key and %s.pub are halves of different keys", name, name, name)
	}
	k.open[pub.ID] = priv
	return signer{pub, priv}, nil
}

// Successor returns the key that will take the place of name: NAME.next,
// made when it is not there yet.
func (k *Dir) Successor(name string, passphrase []byte) (trust.PublicKey, error) {
	if err := checkKeyName(name + ".next"); err != nil {
		return trust.PublicKey{}, err
	}
	if !k.exists(name + ".next.pub") {
		// A lone .key was cut off while it was made: nothing was ever signed for it.
		return k.write(name+".next", passphrase, k.o.FS.WriteFile)
	}
	return k.Public(name + ".next")
}

// Retire puts the key old, called name, aside as retired/NAME-ID and
// gives its name to its successor.
func (k *Dir) Retire(name string, old trust.PublicKey) error {
	aside := "retired/" + name + "-" + old.ID[:16]
	if err := k.o.FS.Mkdir(k.path("retired"), 0o700); err != nil {
		return fmt.Errorf("retire key %s: %w", name, err)
	}
	// Private halves first: until the last rename, NAME.pub still says which key is being retired.
	for _, ext := range []string{".key", ".pub"} {
		if !k.exists(name + ".next" + ext) {
			continue
		}
		if k.exists(name+ext) && !k.exists(aside+ext) {
			if err := k.o.FS.Link(k.path(name+ext), k.path(aside+ext)); err != nil {
				return fmt.Errorf("retire key %s: %w", name, err)
			}
		}
		if err := k.o.FS.Rename(k.path(name+".next"+ext), k.path(name+ext)); err != nil {
			return fmt.Errorf("retire key %s: %w", name, err)
		}
	}
	if err := k.o.FS.SyncDir(k.path("retired")); err != nil {
		return fmt.Errorf("retire key %s: %w", name, err)
	}
	return k.o.FS.SyncDir(k.dir)
}

// readPrivate returns the bytes of NAME.key, refusing a file that others may read.
func (k *Dir) readPrivate(name string) ([]byte, error) {
	path := k.path(name + ".key")
	b, mode, err := k.files.read(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errs.Errorf(errs.NotFound, "key %s: its private half is not in %s", name, k.dir)
	}
	if err != nil {
		return nil, fmt.Errorf("key %s: %w", name, err)
	}
	if mode&0o077 != 0 {
		err := errs.Errorf(errs.Denied, "key %s: %s has mode %04o: others may read it", name, path, mode)
		return nil, errs.Hint(err, "if nobody has: chmod 600 %s; otherwise overland key rotate %s", path, name)
	}
	return b, nil
}

// ByID returns a signer with the private key id, nil when this machine cannot sign with it: no
// private half is here, or it has a passphrase that there is nobody to ask for.
func (k *Dir) ByID(id string) (trust.Signer, error) {
	names, err := k.names()
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		pub, err := k.Public(name)
		if err != nil {
			return nil, err
		}
		if pub.ID != id || !k.exists(name+".key") {
			continue
		}
		if k.o.Passphrase == nil {
			b, err := k.readPrivate(name)
			if err != nil {
				return nil, err
			}
			if isLocked(b) {
				return nil, nil
			}
		}
		return k.Signer(name)
	}
	return nil, nil
}

func (k *Dir) path(file string) string { return filepath.Join(k.dir, file) }

func (k *Dir) exists(file string) bool {
	_, err := os.Lstat(k.path(file))
	return err == nil
}

func checkKeyName(name string) error {
	if !keyName.MatchString(name) {
		return errs.Errorf(errs.Invalid, "key name %.100q: letters, digits, and . _ - inside, at most 64", name)
	}
	return nil
}

type signer struct {
	pub  trust.PublicKey
	priv ed25519.PrivateKey
}

func (s signer) Public() trust.PublicKey { return s.pub }

func (s signer) Sign(message []byte) ([]byte, error) { return ed25519.Sign(s.priv, message), nil }
