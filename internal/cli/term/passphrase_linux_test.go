package term_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"overland/internal/cli/term"
	"overland/internal/errs"
)

// typist is a terminal at which a person types text; what it shows is thrown away.
func typist(t *testing.T, text string) *os.File {
	t.Helper()
	keyboard, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	fd := int(keyboard.Fd())
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err := errors.Join(err, unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)); err != nil {
		t.Fatal(err)
	}
	screen, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { screen.Close(); keyboard.Close() })
	if _, err := keyboard.WriteString(text); err != nil {
		t.Fatal(err)
	}
	return screen
}

// none is the kind of no error.
const none = errs.Kind(0)

// A question is answered by who sits there; what is not a yes is a no.
func TestAPersonIsAsked(t *testing.T) {
	for text, want := range map[string]errs.Kind{"y\n": none, "Yes\n": none, "n\n": errs.Cancelled, "\n": errs.Cancelled, "maybe\n": errs.Cancelled} {
		var said strings.Builder
		tm := &term.Term{Stdin: typist(t, text), Stderr: &said}
		err := tm.Confirm("Write %s?", "it\x1b[2J")
		if (err == nil) != (want == none) || err != nil && errs.KindOf(err) != want {
			t.Errorf("%q: %v", text, err)
		}
		if !strings.HasSuffix(said.String(), "? [y/N] ") || strings.Contains(said.String(), "\x1b") {
			t.Errorf("it is asked %q", said.String())
		}
	}
}

// A new passphrase is typed twice, once for all keys of a run, and is not an empty one.
func TestANewPassphraseIsTypedTwice(t *testing.T) {
	nothing := func(string) string { return "" }
	for text, want := range map[string]string{"secret\nsecret\n": "secret", "secret\nsecre\n": "", "\n\n": ""} {
		var said strings.Builder
		tm := &term.Term{Stdin: typist(t, text), Stderr: &said, Getenv: nothing}
		b, err := tm.NewPassphrase("root")
		if string(b) != want || (err == nil) != (want != "") || err != nil && errs.KindOf(err) != errs.Invalid {
			t.Errorf("%q: %q, %v", text, b, err)
		}
		if strings.Contains(said.String(), "secr") {
			t.Errorf("it is shown: %q", said.String())
		}
		if want == "" {
			continue
		}
		if again, err := tm.NewPassphrase("targets"); string(again) != want || err != nil {
			t.Errorf("the next key: %q, %v", again, err)
		}
	}
	tm := &term.Term{Stdin: typist(t, "one\ntwo\nthree\nthree\n"), Stderr: new(strings.Builder), Getenv: nothing}
	for _, c := range []struct {
		ask  func(string) ([]byte, error)
		want string
	}{{tm.Passphrase, "one"}, {tm.Passphrase, "two"}, {tm.MustPassphrase, "three"}} {
		if b, err := c.ask("root"); string(b) != c.want || err != nil {
			t.Errorf("%q, %v, want %s", b, err, c.want)
		}
	}
}

// A script gives a passphrase in a file that is its alone, or in the environment; with --no-passphrase there is none.
func TestAScriptGivesAPassphrase(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string, mode fs.FileMode) string {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.WriteFile(path, []byte(text), mode), os.Chmod(path, mode)); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for what, c := range map[string]struct {
		file, env, want string
		kind            errs.Kind
	}{
		"a file":                   {file("good", "a secret \r\n", 0o600), "other", "a secret ", none},
		"the environment":          {"", "secret", "secret", none},
		"others may read":          {file("open", "secret", 0o604), "", "", errs.Denied},
		"the group may write":      {file("group", "secret", 0o620), "", "", errs.Denied},
		"an empty one":             {file("empty", "\n", 0o600), "", "", errs.Invalid},
		"a file that is not there": {filepath.Join(dir, "none"), "secret", "", errs.Invalid},
		"a file that is too long":  {file("long", strings.Repeat("x", 4<<10+1), 0o600), "", "", none},
	} {
		tm := &term.Term{PassphraseFile: c.file, Getenv: func(string) string { return c.env }, Stderr: new(strings.Builder)}
		for _, ask := range []func(string) ([]byte, error){tm.Passphrase, tm.NewPassphrase, tm.MustPassphrase} {
			b, err := ask("root")
			if string(b) != c.want || (err == nil) != (c.want != "") || c.kind != none && errs.KindOf(err) != c.kind {
				t.Errorf("%s: %q, %v", what, b, err)
			}
		}
		tm.NoPassphrase = true
		if b, err := tm.NewPassphrase("root"); b == nil || len(b) > 0 || err != nil {
			t.Errorf("%s, and none is wanted: %q, %v", what, b, err)
		}
	}
}

// Where nobody can be asked new keys have no passphrase, which is said once; where one is needed that is an error.
func TestNobodyChoosesAPassphrase(t *testing.T) {
	var said strings.Builder
	tm := &term.Term{Stdin: strings.NewReader("x\nx\n"), Stderr: &said, Getenv: func(string) string { return "" }}
	for range 2 {
		if b, err := tm.NewPassphrase("root"); b == nil || len(b) > 0 || err != nil {
			t.Errorf("%q, %v", b, err)
		}
	}
	if got := said.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "not encrypted") {
		t.Errorf("it is said %q", got)
	}
	if _, err := tm.MustPassphrase("root"); errs.KindOf(err) != errs.Denied || errs.HintOf(err) == "" {
		t.Errorf("one that is needed: %v", err)
	}
}

// Nothing that is printed carries escape sequences of others, or passwords in URLs.
func TestWhatIsPrintedIsText(t *testing.T) {
	const bad = "a\x1b[31mb http://me:secret@x.example/\n"
	var out, said strings.Builder
	tm := &term.Term{Stdout: &out, Stderr: &said}
	tm.Print(bad)
	tm.Printf("%s", bad)
	tm.Table("", "A", [][]string{{bad}})
	if err := errors.Join(tm.JSON(map[string]string{"x": bad + "\u009b"}), tm.Raw([]byte("raw\x1b"))); err != nil {
		t.Error(err)
	}
	tm.Note("%s", bad)
	tm.Warn(bad)
	text, raw := strings.CutSuffix(out.String(), "raw\x1b")
	if !raw || strings.ContainsAny(text+said.String(), "\x1b\u009b") {
		t.Errorf("result %q, messages %q", out.String(), said.String())
	}
	if strings.Contains(said.String(), "secret") {
		t.Errorf("messages %q", said.String())
	}
	if strings.Count(said.String(), "overland: warning: ") != 1 {
		t.Errorf("messages %q", said.String())
	}
}

// full is an output that takes nothing.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, unix.ENOSPC }

// A verb that printed in vain has failed, unless it failed for another reason: then that is said.
func TestALostResult(t *testing.T) {
	tm := &term.Term{Stdout: full{}, Stderr: new(strings.Builder)}
	if err := tm.Lost(nil); err != nil {
		t.Errorf("nothing was printed: %v", err)
	}
	tm.Print("x\n")
	lost := tm.Lost(nil)
	if lost == nil || !strings.Contains(errs.HintOf(lost), "only its output is lost") {
		t.Errorf("%v, hint %q", lost, errs.HintOf(lost))
	}
	if err := tm.Lost(os.ErrExist); !errors.Is(err, os.ErrExist) {
		t.Errorf("with another error: %v", err)
	}
	if err := tm.Lost(tm.Result().Err()); errs.HintOf(err) != errs.HintOf(lost) {
		t.Errorf("with its own error: %v", err)
	}
}
