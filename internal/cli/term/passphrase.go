package term

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/term"

	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/printer"
)

const maxPassphrase = 4 << 10 // bytes of a file

// Passphrase returns the passphrase of the key called name: what --passphrase-file holds,
// $OVERLAND_PASSPHRASE, or what a person types.
func (t *Term) Passphrase(name string) ([]byte, error) {
	nobody := errs.Errorf(errs.Denied, "key %s has a passphrase, and there is nobody to ask", name)
	return t.required(nobody, func(in *os.File) ([]byte, error) { return t.typed(in, "passphrase of key %s: ", name) })
}

// NewPassphrase returns the passphrase for the new key called name, empty for none: what is given as
// for Passphrase, or what a person types twice, once for all new keys of a run. Where nobody can be
// asked, and with --no-passphrase, there is none, and a note says so.
func (t *Term) NewPassphrase(name string) ([]byte, error) {
	if t.NoPassphrase {
		return []byte{}, nil
	}
	if t.fresh != nil {
		return t.fresh, nil
	}
	if b, err := t.given(); b != nil || err != nil {
		return b, err
	}
	in, ok := t.person()
	if !ok {
		if !t.told {
			t.Note("new keys are not encrypted, for there is nobody to ask for a passphrase: overland trust doctor says what that means")
		}
		t.told = true
		return []byte{}, nil
	}
	b, err := t.chosen(in, name)
	if err == nil {
		t.fresh = b
	}
	return b, err
}

// MustPassphrase is NewPassphrase where a key without one is not wanted.
func (t *Term) MustPassphrase(name string) ([]byte, error) {
	nobody := errs.Errorf(errs.Denied, "key %s: there is nobody to ask for a passphrase", name)
	return t.required(nobody, func(in *os.File) ([]byte, error) { return t.chosen(in, name) })
}

// required returns what a script gives, or else what ask gets from the person at a terminal; without
// either the error is nobody, with a hint.
func (t *Term) required(nobody error, ask func(in *os.File) ([]byte, error)) ([]byte, error) {
	if b, err := t.given(); b != nil || err != nil {
		return b, err
	}
	in, ok := t.person()
	if !ok {
		return nil, errs.Hint(nobody, "give it with --passphrase-file FILE, or set OVERLAND_PASSPHRASE")
	}
	return ask(in)
}

// chosen asks the person at in twice.
func (t *Term) chosen(in *os.File, name string) ([]byte, error) {
	b, err := t.typed(in, "a new passphrase for key %s: ", name)
	if err != nil {
		return nil, err
	}
	if len(b) == 0 {
		return nil, errs.Hint(errs.Errorf(errs.Invalid, "an empty passphrase protects nothing"), "--no-passphrase makes a key without one")
	}
	again, err := t.typed(in, "the same again: ")
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(b, again) {
		return nil, errs.Hint(errs.Errorf(errs.Invalid, "the two differ"), "nothing was made: try again")
	}
	return b, nil
}

// typed returns what the person at in types, without an echo.
func (t *Term) typed(in *os.File, format string, args ...any) ([]byte, error) {
	printer.Fprintf(t.Stderr, format, args...)
	b, err := term.ReadPassword(int(in.Fd()))
	fmt.Fprintln(t.Stderr)
	return b, err
}

// given returns the passphrase that a script gives, nil when it gives none.
func (t *Term) given() ([]byte, error) {
	if t.PassphraseFile == "" {
		if s := t.Getenv("OVERLAND_PASSPHRASE"); s != "" {
			return []byte(s), nil
		}
		return nil, nil
	}
	f, err := fsx.OpenStream(t.PassphraseFile)
	if err != nil {
		return nil, errs.Hint(errs.E(errs.Invalid, fmt.Errorf("passphrase: %w", err)), "--passphrase-file names a file that holds it")
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o077 != 0 {
		return nil, errs.Hint(errs.Errorf(errs.Denied, "passphrase: others may read %s", t.PassphraseFile), "chmod 600 %s", t.PassphraseFile)
	}
	b, err := fsx.Read(f, t.PassphraseFile, maxPassphrase)
	if err != nil {
		return nil, fmt.Errorf("passphrase: %w", err)
	}
	b = bytes.TrimSuffix(bytes.TrimSuffix(b, []byte("\n")), []byte("\r"))
	if len(b) == 0 {
		err = errors.New("it is empty")
		return nil, errs.Hint(errs.E(errs.Invalid, fmt.Errorf("passphrase: %s: %w", t.PassphraseFile, err)), "an empty passphrase protects nothing")
	}
	return b, nil
}

// RootKeysDir returns the absolute path of the folder of root keys: --root-keys or $OVERLAND_ROOT_KEYS;
// "" for the one in the site directory.
func (t *Term) RootKeysDir() (string, error) {
	if t.RootKeys != "" {
		return filepath.Abs(t.RootKeys)
	}
	d := t.Getenv("OVERLAND_ROOT_KEYS")
	if d == "" {
		return "", nil
	}
	return d, absolute("OVERLAND_ROOT_KEYS", d)
}
