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
	e, err := ReadEnv(context.Background())
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

// What the go command's files say is what the go command says.
func TestHeldEnvIsWhatGoSays(t *testing.T) {
	user := filepath.Join(t.TempDir(), "env")
	for _, text := range []string{"", "GOSUMDB=sum.example.org\nGOPRIVATE=*.corp\n", "GONOSUMDB=a.example\nGOPRIVATE=*.corp\n# x\n"} {
		if err := os.WriteFile(user, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		t.Setenv("GOENV", user)
		want, err := ReadEnv(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		got, err := heldEnv()
		if err != nil || got.GOSUMDB != want.GOSUMDB || got.GONOSUMDB != want.GONOSUMDB || got.GOROOT != want.GOROOT {
			t.Errorf("%q: %+v, %v\nwant %+v", text, got, err, want)
		}
	}
	t.Setenv("GOENV", "")
	t.Setenv("GOSUMDB", "off")
	if got, err := heldEnv(); err != nil || got.GOSUMDB != "off" {
		t.Errorf("%+v, %v", got, err)
	}
	t.Setenv("GOROOT", t.TempDir())
	if _, err := heldEnv(); errs.KindOf(err) != errs.Unavailable || errs.HintOf(err) == "" {
		t.Errorf("no toolchain: %v", err)
	}
}
