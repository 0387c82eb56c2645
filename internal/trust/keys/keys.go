package keys

import (
	"cmp"
	"crypto/ed25519"
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
	// Root is the folder of the private half of the key "root", and of keys that NewRoot makes, so that
	// it can be carried away; "" = the directory itself. Public halves stay.
	Root string
	Work int // log2 of scrypt's work for new passphrases; 0 = age's own choice
	Asks
}

// Asks are the questions to whoever has the keys. The zero value asks nobody.
type Asks struct {
	// Passphrase is asked for the passphrase of key name; nil: keys with a passphrase cannot be used.
	Passphrase func(name string) ([]byte, error)
	// NewPassphrase is asked for one for the new key name, when New is given none; empty: it is not
	// encrypted, nor is it when this is nil.
	NewPassphrase func(name string) ([]byte, error)
}

var errNobody = errors.New("needs its passphrase, and nobody is here to give it")

// Root is the name of the key that New puts into Options.Root as NewRoot does.
const Root = "root"

// Dir is a directory of key files: NAME.key (private, mode 0600) and NAME.pub; private halves of root
// keys lie in a folder of their own. A file is opened again only when it has changed. It is safe for
// concurrent use.
type Dir struct {
	dir   string
	o     Options
	files *files

	mu   sync.Mutex
	open map[string]ed25519.PrivateKey // by key id, so that a passphrase is asked for once
	last []byte                        // the passphrase that fitted last: one person's keys often share it
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
	o.Root = cmp.Or(o.Root, dir)
	return &Dir{dir: dir, o: o, files: &files{seen: map[string]seen{}}, open: map[string]ed25519.PrivateKey{}}, nil
}

// Asking returns k for another person, who is asked: what was read is shared, keys that a passphrase
// has unlocked are not.
func (k *Dir) Asking(who Asks) *Dir {
	o := k.o
	o.Asks = who
	return &Dir{dir: k.dir, o: o, files: k.files, open: map[string]ed25519.PrivateKey{}}
}

// secret returns where the private half of name is, or would be, and whether it is there.
func (k *Dir) secret(name string) (path string, here bool) {
	for _, dir := range []string{k.dir, k.o.Root} {
		path = filepath.Join(dir, name+".key")
		if _, err := os.Lstat(path); err == nil {
			return path, true
		}
	}
	return k.path(name + ".key"), false
}

// Path returns where the private half of the key name is, or would be.
func (k *Dir) Path(name string) string {
	path, _ := k.secret(name)
	return path
}

// names returns the names of the keys, sorted.
func (k *Dir) names() ([]string, error) {
	var names []string
	for _, dir := range []string{k.dir, k.o.Root} {
		entries, err := os.ReadDir(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("list keys: %w", err)
		}
		for _, e := range entries {
			ext := filepath.Ext(e.Name())
			if name := strings.TrimSuffix(e.Name(), ext); (ext == ".key" || ext == ".pub") && keyName.MatchString(name) {
				names = append(names, name)
			}
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
		info := trust.KeyInfo{Name: name, ID: pub.ID}
		if _, info.Private = k.secret(name); info.Private {
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

// Has reports whether a key of this name is here, whole or damaged.
func (k *Dir) Has(name string) bool {
	if checkKeyName(name) != nil {
		return false
	}
	_, here := k.secret(name)
	return here || k.exists(name+".pub")
}

// Public returns the public key name. errs.NotFound when there is none; errs.Denied when
// a private key is in its place.
func (k *Dir) Public(name string) (trust.PublicKey, error) {
	if err := checkKeyName(name); err != nil {
		return trust.PublicKey{}, err
	}
	b, _, err := k.files.read(k.path(name + ".pub"))
	if errors.Is(err, fs.ErrNotExist) {
		if _, here := k.secret(name); here {
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
	k.mu.Lock()
	priv, err := k.private(name)
	k.mu.Unlock()
	if err != nil {
		return trust.PublicKey{}, err
	}
	pub, err := trust.NewPublicKey(priv.Public().(ed25519.PublicKey))
	if err != nil {
		return trust.PublicKey{}, fmt.Errorf("key %s: %w", name, err)
	}
	return pub, k.o.FS.WriteFile(k.path(name+".pub"), EncodePublic(pub.Key), 0o644)
}

// private reads NAME.key, asking for its passphrase when it has one. The caller holds mu.
func (k *Dir) private(name string) (ed25519.PrivateKey, error) {
	b, err := k.readPrivate(name)
	if err != nil {
		return nil, err
	}
	if !isLocked(b) {
		priv, err := decodePrivate(b, nil)
		if err != nil {
			return nil, fmt.Errorf("key %s: %w", name, err)
		}
		return priv, nil
	}
	if len(k.last) > 0 {
		if priv, err := decodePrivate(b, k.last); err == nil {
			return priv, nil
		}
	}
	if k.o.Passphrase == nil {
		return nil, errs.Errorf(errs.Denied, "key %s: %w", name, errNobody)
	}
	passphrase, err := k.o.Passphrase(name)
	if err != nil {
		return nil, fmt.Errorf("key %s: passphrase: %w", name, err)
	}
	priv, err := decodePrivate(b, passphrase)
	if err != nil {
		return nil, fmt.Errorf("key %s: %w", name, err)
	}
	k.last = passphrase
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

// readPrivate returns the bytes of NAME.key, refusing a file that others may read.
func (k *Dir) readPrivate(name string) ([]byte, error) {
	path, _ := k.secret(name)
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
		if pub.ID != id {
			continue
		}
		if _, here := k.secret(name); !here {
			continue
		}
		s, err := k.Signer(name)
		if errors.Is(err, errNobody) {
			return nil, nil
		}
		return s, err
	}
	return nil, nil
}

func (k *Dir) path(file string) string { return filepath.Join(k.dir, file) }

func (k *Dir) exists(file string) bool { return exists(k.path(file)) }

func exists(path string) bool {
	_, err := os.Lstat(path)
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
