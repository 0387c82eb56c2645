package golang

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"overland/internal/errs"
)

func TestKeysComeFromTheToolchain(t *testing.T) {
	e, err := ReadEnv(context.Background(), "")
	if err != nil {
		t.Fatal(err)
	}
	e.GOSUMDB, _ = defaultDatabase(e.GOROOT)
	db, on, err := e.database()
	if _, keyErr := note.NewVerifier(db.key); errors.Join(err, keyErr) != nil || !on || !strings.HasPrefix(db.key, db.name+"+") {
		t.Errorf("%+v, %v, %v %v", db, on, err, keyErr)
	}
	for _, off := range []string{"", "off"} {
		if _, on, err := (Env{GOSUMDB: off}).database(); on || err != nil {
			t.Errorf("%q: %v %v", off, on, err)
		}
	}
	if _, _, err := (Env{GOSUMDB: "a+b+c"}).database(); errs.KindOf(err) != errs.Invalid {
		t.Errorf("error %v", err)
	}
}

// defaultDatabase returns the first name that the toolchain has a key for.
func defaultDatabase(goroot string) (string, error) {
	b, err := os.ReadFile(filepath.Join(goroot, "src", "cmd", "go", "internal", "modfetch", "key.go"))
	_, s, _ := strings.Cut(string(b), "{\n\t\"")
	name, _, _ := strings.Cut(s, `"`)
	return name, err
}
