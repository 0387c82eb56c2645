package volume

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"overland/internal/errs"
)

// pasted is what a person does on a bare machine: the line, in a shell, where the file is.
func pasted(t *testing.T, shell []string, dir, line string) run {
	t.Helper()
	cmd := exec.Command(shell[0], append(shell[1:], "-c", line)...)
	cmd.Dir = dir
	return result(t, cmd, nil)
}

// S8: the file asks for its own fingerprint, so a changed one with the right fingerprint ran as
// root. The line that seal prints, copied from a screen that one trusts, runs what was sealed, and
// of a changed file nothing: not its program, not the agents behind it.
func TestS8TheLineOfSealCatchesAChangedProgram(t *testing.T) {
	t.Parallel()
	for _, split := range []int64{0, 500_000} { // the agents do not fit into the first part
		f := runnable(t)
		path := f.seal(t, Options{Split: split})
		if split > 0 {
			path += ".001"
		}
		d, err := ProgramDigest(path)
		if err != nil {
			t.Fatal(err)
		}
		const root, channel = "sha256:0123456789abcdef", "live"
		name := filepath.Base(path)
		line := CheckedLine(name, d, "install", "--root", root, "--channel", channel)
		if strings.Contains(line, "\n") || strings.Contains(line, "!") {
			t.Errorf("not one line that can be pasted: %q", line)
		}
		good := read(t, path)
		dirs := map[string]string{}
		for what, change := range map[string]func([]byte) []byte{
			"as sealed":    func(b []byte) []byte { return b },
			"payload":      func(b []byte) []byte { return bytes.Replace(b, []byte("trap - EXIT"), []byte("echo OWNED;"), 1) },
			"one space":    func(b []byte) []byte { return bytes.Replace(b, []byte("\n\n\n}\n"), []byte("\n \n}\n"), 1) },
			"one bit":      func(b []byte) []byte { b[100] ^= 1; return b },
			"agent's name": func(b []byte) []byte { b[bytes.Index(b, []byte(f.Agents[0].Digest.Encoded()))] ^= 1; return b },
			"zeros":        func(b []byte) []byte { b[stubSize-10] = 0; return b },
			"cut":          func(b []byte) []byte { return b[:stubSize-3] },
			"empty":        func([]byte) []byte { return nil },
			"a script":     func([]byte) []byte { return []byte("#!/bin/sh\n# overland volume 3\necho OWNED\n") },
		} {
			dirs[what] = t.TempDir()
			all, err := filepath.Glob(strings.TrimSuffix(path, ".001") + "*")
			if err != nil {
				t.Fatal(err)
			}
			for _, from := range all {
				b := read(t, from)
				if from == path {
					b = change(slices.Clone(good))
				}
				if err := os.WriteFile(filepath.Join(dirs[what], filepath.Base(from)), b, 0o644); err != nil {
					t.Fatal(err)
				}
			}
		}
		for shell, argv := range shells {
			for what, dir := range dirs {
				r := pasted(t, argv, dir, line)
				if what == "as sealed" {
					r.want(t, 0, fmt.Sprintf("agent here called with %q", []string{"install", "--volume", "./" + name, "--root", root, "--channel", channel}))
					continue
				}
				if r.code != errs.Untrusted.Exit() || strings.Contains(r.out, "OWNED") || strings.Contains(r.out, "called with") ||
					!strings.Contains(r.out, "not the file that was sealed: nothing was run") {
					t.Errorf("%s, %s: %d %s", shell, what, r.code, r.out)
				}
			}
		}
		// Without the line, the changed program runs: that is what the line is for.
		if r := sh(t, shells["busybox"], filepath.Join(dirs["payload"], name), nil, "install", "--root", root); !strings.Contains(r.out, "OWNED") {
			t.Errorf("the payload is none: %s", r.out)
		}
		// By eye it is the same digest.
		if r := pasted(t, shells["busybox"], dirs["as sealed"], fmt.Sprintf("head -c %d '%s' | sha256sum", ProgramSize, name)); r.out != d.Encoded()+"  -\n" {
			t.Errorf("by eye: %s", r.out)
		}
	}
}

// A medium that shows the right program to the check and another one to the shell gains nothing:
// the program is read once.
func TestS8TheProgramIsReadOnce(t *testing.T) {
	path := runnable(t).seal(t, Options{})
	d, err := ProgramDigest(path)
	if err != nil {
		t.Fatal(err)
	}
	bin, dir := t.TempDir(), t.TempDir()
	b := read(t, path)
	if err := os.WriteFile(filepath.Join(dir, "w.volume"), b, 0o644); err != nil {
		t.Fatal(err)
	}
	bad := bytes.Replace(b, []byte("trap - EXIT"), []byte("echo OWNED;"), 1)
	if err := os.WriteFile(filepath.Join(dir, "bad"), bad, 0o644); err != nil {
		t.Fatal(err)
	}
	// The medium changes when sha256sum has begun to look.
	medium := "#!/bin/sh\ncp " + dir + "/bad " + dir + "/w.volume\nexec busybox sha256sum\n"
	if err := os.WriteFile(filepath.Join(bin, "sha256sum"), []byte(medium), 0o755); err != nil {
		t.Fatal(err)
	}
	line := "PATH=" + bin + ":$PATH; " + CheckedLine("w.volume", d, "version")
	r := pasted(t, shells["dash"], dir, line)
	r.want(t, 0, "overland volume 3")
	if strings.Contains(r.out, "OWNED") || !bytes.Equal(read(t, filepath.Join(dir, "w.volume")), bad) {
		t.Errorf("%s", r.out)
	}
}

// Names that a person may give a file are words of a shell in the line.
func TestS8TheLineQuotes(t *testing.T) {
	t.Parallel()
	path := runnable(t).seal(t, Options{})
	d, err := ProgramDigest(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"plain.volume", "two words.volume", "it's.volume", `$(touch owned) "x".volume`, "-n.volume", "é;ls.volume"} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, name), read(t, path), 0o644); err != nil {
			t.Fatal(err)
		}
		r := pasted(t, shells["busybox"], dir, CheckedLine(name, d, "list", "a b"))
		r.want(t, 0, fmt.Sprintf("agent here called with %q", []string{"list", "--volume", "./" + name, "a b"}))
		if left, _ := os.ReadDir(dir); len(left) != 1 {
			t.Errorf("%q left %v", name, left)
		}
	}
	if _, err := ProgramDigest(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("the program of no file")
	}
}

// What a file is, it says by itself, without running what it carries.
func TestStubSaysWhatItIs(t *testing.T) {
	t.Parallel()
	f := runnable(t)
	path := f.seal(t, Options{})
	for _, shell := range shells {
		for _, arg := range []string{"version", "--version", "-V"} {
			r := sh(t, shell, path, nil, arg)
			r.want(t, 0, "overland volume 3\nagent for linux/amd64, "+f.Agents[0].Digest.String())
			if strings.Contains(r.out, "called with") {
				t.Errorf("an agent was run: %s", r.out)
			}
		}
		for _, arg := range []string{"help", "--help", "-h"} {
			sh(t, shell, path, nil, arg).want(t, 0, "usage: sh my wallet.volume VERB", "--channel NAME", "version")
		}
	}
}
