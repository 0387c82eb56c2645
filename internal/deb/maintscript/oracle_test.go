package maintscript_test

import (
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"overland/internal/deb/maintscript"
	"overland/internal/environ"
)

// What the machine's own shell and tools print for a line is what is printed here.
func TestTextToolsAreAsTheMachines(t *testing.T) {
	for _, line := range []string{
		`printf 'a b\nc d\n' | sed -e 's/\([a-z]\) \([a-z]\)/\2-\1/' -ne '/-/p'`,
		`printf 'one\ntwo\nthree\n' | sed -n '2,$p'`, `printf 'one\ntwo\nthree\n' | sed '/two/d'`, `printf 'one\ntwo\nthree\n' | sed '/one/,/two/!d'`,
		`printf 'a.b.c\n' | sed 's/\./-/2;s|a|&&|'`, `printf 'xaax\n' | sed -E 's/(a+)x$/<\1>/'`, `printf 'A=1\nB=2\n' | sed -n 's/^B=//p;2q'`,
		`printf 'a/b\n' | sed 's,/,\n,g'`, `printf 'x\n' | sed '$s/x/$1/'`, `printf 'a[b]\n' | sed 's/[]b[]/_/g'`, `printf '  k: v  \n' | sed -e 's/^[[:space:]]*//' -e 's/[[:space:]]*$//'`,
		`printf '#a\nb\n#c\n' | sed '/^#/{s/#/!/;/c/d}'`, `printf 'one' | sed s/o/0/g`, `printf 'aXbX\n' | sed 's/X*$//'`, `printf 'a+b?c\n' | sed 's/+b?/_/'`,
		`printf 'ab\nAB\n' | grep -i a`, `printf 'ab\nb\n' | grep -v a`, `printf 'a+b\naab\n' | grep 'a+b'`, `printf 'a+b\naab\n' | grep -E 'a+b'`, `printf 'a.b\naxb\n' | grep -F a.b`,
		`printf 'x\n' | grep -q y; echo $?`, `printf 'ab\n' | grep -c .`, `printf 'k=v\n' | grep -o '=.*'`, `printf 'a{2}\naa\n' | grep 'a\{2\}'`, `printf 'word words\n' | grep -w words`, `printf 'a\nb\n' | grep -x -e a -e c`,
		`printf '*a\n' | grep '*a'`, `printf 'a^b\n' | grep 'a^b'`, `printf 'a$b\n' | grep 'a$b'`,
		`printf 'a:b:c\nnone\n' | cut -d: -f2-`, `printf 'a:b:c\nnone\n' | cut -s -d : -f 1,3`, `printf 'abcdef\n' | cut -c2-3,5`,
		`printf 'b\na\nb\n' | sort -u`, `printf 'b\na\nB\n' | sort -r`, `printf 'a\na\nb\n' | uniq -c`, `printf 'hello world\n' | tr a-y b-z`, `printf 'a,b,,c\n' | tr -s , '\n'`,
		`printf 'aBc1\n' | tr -d '[:upper:]'`, `printf 'abc\n' | tr -c 'a\n' x`, `printf '1\n2\n3\n' | head -n 2`, `printf '1\n2\n3\n' | head -1`, `seq 3`, `seq 3 -1 1`,
		`printf x | md5sum`, `printf x | sha256sum -`, `basename /a/b.c .c; basename /a/`, `dirname /a/b/ /; dirname a`, `expr 3 - 5`,
		`IFS=: read -r a b <<EOF
x:y:z
EOF
echo "$b|$a"`, `printf 'a\\tb  c\n' | { read a b; echo "$a|$b"; }`, `printf ' a:b: \n' | { IFS=': ' read -r a b; echo "$a|$b|"; }`,
		`set -- a 'b c'; for x; do echo "<$x>"; done; shift; echo $#`, `x=/usr/lib/a.so; echo "${x##*/} ${x%.so} ${y:-none} ${x#/usr}"`, `f() { local a=1; echo $a; }; f`,
		`case abc in a*) echo yes;; *) echo no;; esac`, `echo 'a\nb'`, `echo -n x; printf '%s-%d\n' a 3`, `test -z "" -a ! -e /no/such && echo both`, `[ 3 -gt 2 ] && echo $((3 * 4))`,
	} {
		cmd := exec.CommandContext(t.Context(), "/bin/sh", "-c", line)
		cmd.Env = append(environ.Child(), "LC_ALL=C.UTF-8", "PATH=/usr/bin:/bin")
		want, err := cmd.Output()
		if len(want) == 0 {
			t.Errorf("%s: the machine prints nothing: %v", line, err)
			continue
		}
		r := newRoot()
		_, err = ran(t, r, "{ "+line+"\n} > /etc/out || true")
		if diff := cmp.Diff(string(want), r["etc/out"].text); err != nil || diff != "" {
			t.Errorf("%s: %v\n%s", line, err, diff)
		}
	}
}

// dpkg's update-alternatives makes the same links, and keeps the same of them.
func TestAlternativesAreAsDpkgs(t *testing.T) {
	steps := []string{
		"--install /usr/bin/vi vi /usr/bin/vi.tiny 15 --slave /usr/share/man/vi.1 vi.1 /usr/share/man/vi.tiny.1 --slave /usr/share/man/de/vi.1 vi.de.1 /usr/share/man/de/none.1",
		"--install /usr/bin/vi vi /usr/bin/vim 30 --slave /usr/share/man/vi.1 vi.1 /usr/share/man/vim.1",
		"--install /usr/bin/vi vi /usr/bin/ed 30", "--install /usr/bin/ex ex /usr/bin/none 1", "--install /usr/bin/ed ed /usr/bin/vim 5",
		"--install /usr/bin/pager pager /usr/bin/ed -3", "--install /usr/bin/pager pager /usr/bin/vim -7", "--remove nothing /usr/bin/ed",
	}
	r := newRoot().with("var/lib/dpkg/alternatives/.", "", fs.ModeDir|0o755).with("etc/alternatives/.", "", fs.ModeDir|0o755)
	maps.DeleteFunc(r, func(name string, _ file) bool { return filepath.Base(name) == "." })
	for _, name := range []string{"usr/bin/vi.tiny", "usr/bin/vim", "usr/bin/ed", "usr/share/man/vi.tiny.1", "usr/share/man/vim.1"} {
		r.with(name, "x", 0o755)
	}
	dir := t.TempDir()
	for name, f := range r {
		at := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		switch {
		case f.Mode.IsDir():
			err = os.MkdirAll(at, 0o755)
		case f.Mode.IsRegular():
			err = os.WriteFile(at, []byte(f.text), 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	system := maintscript.New(r, time.Time{})
	for _, step := range steps {
		cmd := exec.CommandContext(t.Context(), "update-alternatives", append([]string{"--root", dir, "--log", "/dev/null"}, strings.Fields(step)...)...)
		cmd.Env = append(environ.Child(), "PATH=/usr/sbin:/usr/bin:/sbin:/bin")
		wanted := cmd.Run() == nil
		err := system.Run(t.Context(), tea, "postinst", []byte("#!/bin/sh\nupdate-alternatives "+step))
		if (err == nil) != wanted {
			t.Errorf("%s: %v, and dpkg's worked: %v", step, err, wanted)
		}
	}
	for name, f := range r {
		if f.Mode&fs.ModeSymlink != 0 && name != "bin" {
			if to, err := os.Readlink(filepath.Join(dir, name)); err != nil || to != f.Target {
				t.Errorf("%s leads to %s, and dpkg's to %s, %v", name, f.Target, to, err)
			}
		}
		if strings.HasPrefix(name, "var/lib/dpkg/alternatives/") {
			if b, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(b) != f.text {
				t.Errorf("%s: %v\n%s", name, err, cmp.Diff(string(b), f.text))
			}
		}
	}
	for _, folder := range []string{"usr/bin", "etc/alternatives", "var/lib/dpkg/alternatives", "usr/share/man"} {
		entries, err := os.ReadDir(filepath.Join(dir, folder))
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, e := range entries {
			names = append(names, e.Name())
		}
		if diff := cmp.Diff(names, r.List(folder)); diff != "" {
			t.Errorf("%s: %s", folder, diff)
		}
	}
}
