package maintscript_test

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
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
		`x=1; printf 'a\nb\n' | while read l; do x=$l; done; echo $x`, `f() { printf 'a\n' | while read l; do return 3; done; echo $?; }; f`, `printf 'a\n' | { read x; echo $x; exit 3; }; echo $?`,
		`f() { (return 4); echo $?; y=$(return 5) || echo $?; g() { return 6; }; (g) || echo $?; return 7; }; f || echo $?`, `eval 'x=1; printf "a\n" | cat | read x; echo $x'`,
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

// laid returns a folder in which r lies on the disk.
func laid(t *testing.T, r root) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range slices.Sorted(maps.Keys(r)) {
		f, at := r[name], filepath.Join(dir, name)
		var err error
		switch {
		case f.Mode.IsDir():
			err = os.MkdirAll(at, 0o755)
		case f.Target != "":
			err = os.Symlink(f.Target, at)
		default:
			err = os.WriteFile(at, []byte(f.text), 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// dpkg's update-alternatives makes the same links, and keeps the same of them.
func TestAlternativesAreAsDpkgs(t *testing.T) {
	steps := []string{
		"--install /usr/bin/vi vi /usr/bin/vi.tiny 15 --slave /usr/share/man/vi.1 vi.1 /usr/share/man/vi.tiny.1 --slave /usr/share/man/de/vi.1 vi.de.1 /usr/share/man/de/none.1",
		"--install /usr/bin/vi vi /usr/bin/vim 30 --slave /usr/share/man/vi.1 vi.1 /usr/share/man/vim.1",
		"--install /usr/bin/vi vi /usr/bin/ed 30", "--install /usr/bin/ex ex /usr/bin/none 1", "--install /usr/bin/ed ed /usr/bin/vim 5",
		"--install /usr/bin/pager pager /usr/bin/ed -3", "--install /usr/bin/pager pager /usr/bin/vim -7", "--remove nothing /usr/bin/ed",
		"--display vi", "--query vi", "--query pager", "--list vi", "--display pager", "--query nothing", "--display nothing", "--list nothing",
	}
	r := newRoot().with("var/lib/dpkg/alternatives/.", "", fs.ModeDir|0o755).with("etc/alternatives/.", "", fs.ModeDir|0o755)
	maps.DeleteFunc(r, func(name string, _ file) bool { return filepath.Base(name) == "." })
	for _, name := range []string{"usr/bin/vi.tiny", "usr/bin/vim", "usr/bin/ed", "usr/share/man/vi.tiny.1", "usr/share/man/vim.1"} {
		r.with(name, "x", 0o755)
	}
	dir := laid(t, r)
	system := maintscript.New(r, time.Time{})
	for _, step := range steps {
		cmd := exec.CommandContext(t.Context(), "update-alternatives", append([]string{"--root", dir, "--log", "/dev/null"}, strings.Fields(step)...)...)
		cmd.Env = append(environ.Child(), "PATH=/usr/sbin:/usr/bin:/sbin:/bin")
		said, failed := cmd.Output()
		err := system.Run(t.Context(), tea, "postinst", []byte("#!/bin/sh\nupdate-alternatives "+step+" >/said"))
		if (err == nil) != (failed == nil) {
			t.Errorf("%s: %v, and dpkg's %v", step, err, failed)
		}
		if diff := cmp.Diff(string(said), r["said"].text); diff != "" && !strings.HasPrefix(step, "--install") { // what it did
			t.Errorf("%s: %s", step, diff)
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

// The machine's find finds the same, in some order.
func TestFindIsAsTheMachines(t *testing.T) {
	r := newRoot().with("a/x.ini", "x", 0o644).with("a/x.ini.bak", "y", 0o644).with("a/b/y.ini", "", 0o644).with("a/b/.z", "z", 0o644).with("a/none", "", fs.ModeDir|0o755)
	r["a/link"] = file{File: maintscript.File{Mode: fs.ModeSymlink | 0o777, Target: "b"}}
	dir := laid(t, r)
	sorted := func(s string) string {
		lines := strings.FieldsFunc(s, func(c rune) bool { return c == '\n' || c == 0 })
		slices.Sort(lines)
		return strings.Join(lines, "\n")
	}
	for _, line := range []string{
		"find a", "find a/ -type f", "find a/b a/none", "find a -name '*.ini' -print", "find a -mindepth 1 -maxdepth 1 ! ( -name '*.bak' -name '*.ini' ) -printf '%f\\n'",
		"find a -mindepth 1 -not -type d -a -print0", "find a -name b -prune -o -type f -print", "find a -empty", "find a -type l -or -name '[!x]*' -and -type f", "find a -maxdepth 0",
		"find a -name '.*' -printf '%p %P %f%%\\t\\\\\\n'", "find a -uid 4242", "find a -type f -name x.ini -o -print", "find a ! -name 'x*'", "find a -depth -maxdepth 1 -name a",
		"find a -type d -empty -delete -print", "find a -mindepth 1 -name b -delete -o -name none; find a", "find a/b -delete; find a",
	} {
		line = strings.NewReplacer("( ", `\( `, " )", ` \)`).Replace(line)
		cmd := exec.CommandContext(t.Context(), "/bin/sh", "-c", line)
		cmd.Dir, cmd.Env = dir, append(environ.Child(), "LC_ALL=C.UTF-8", "PATH=/usr/bin:/bin")
		want, err := cmd.Output()
		if err != nil || len(want) == 0 && !strings.Contains(line, "4242") {
			t.Errorf("%s: the machine: %v", line, err)
		}
		if err := maintscript.New(r, time.Time{}).Run(t.Context(), tea, "postinst", []byte("#!/bin/sh\ncd /\n{ "+line+"; } >/said")); err != nil {
			t.Errorf("%s: %v", line, err)
		}
		if diff := cmp.Diff(sorted(string(want)), sorted(r["said"].text)); diff != "" {
			t.Errorf("%s: %s", line, diff)
		}
	}
	for _, line := range []string{"find", "find a -exec rm {} +", "find a -prune -exec x", "find a -type s", "find a (", "find a !", "find a -name", "find a ( -type f", "find a -o", "find a -printf %T", "find a -maxdepth x"} {
		line = strings.NewReplacer("(", `\(`).Replace(line)
		err := maintscript.New(r, time.Time{}).Run(t.Context(), tea, "postinst", []byte("#!/bin/sh\ncd /\n"+line))
		var unknown *maintscript.UnknownError
		if !errors.As(err, &unknown) {
			t.Errorf("%s: %v", line, err)
		}
	}
}

// The machine's ldconfig, which needs root's rights, writes the same cache and makes the same links.
func TestLinkerCacheIsAsTheMachines(t *testing.T) {
	r := newRoot()
	r["lib"] = file{File: maintscript.File{Mode: fs.ModeSymlink | 0o777, Target: "usr/lib"}}
	r["sbin"] = file{File: maintscript.File{Mode: fs.ModeSymlink | 0o777, Target: "usr/sbin"}}
	const triplet = "usr/lib/x86_64-linux-gnu/"
	host := func(name string) string {
		t.Helper()
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	link := func(name, to string) {
		r.with(name, "", 0o644)
		r[name] = file{File: maintscript.File{Mode: fs.ModeSymlink | 0o777, Target: to}}
	}
	r.with("usr/sbin/ldconfig", host("/sbin/ldconfig"), 0o755)
	for _, name := range []string{"libc.so.6", "libm.so.6", "ld-linux-x86-64.so.2", "libgcc_s.so.1"} {
		r.with(triplet+name, host("/lib/x86_64-linux-gnu/"+name), 0o755)
	}
	library := host("/lib/x86_64-linux-gnu/libz.so.1")
	r.with(triplet+"libz.so.1.2.13", library, 0o644).with(triplet+"libz.so.1.2.9", library, 0o644).with("opt/lib/libz.so.1.3", library, 0o644)
	link(triplet+"libz.so.1", "libz.so.1.2.9") // the older one
	link(triplet+"libz.so", "libz.so.1.2.13")
	link(triplet+"libz.so.99", "libz.so.1.2.13")
	link(triplet+"libgone.so.1", "nowhere")
	r.with(triplet+"libtext.so", "GROUP ( /lib/libc.so.6 )", 0o644).with(triplet+"libshort.so.1", "\x7fELF", 0o644).with(triplet+"liba.so-gdb.py", "x", 0o644)
	r.with(triplet+"libprogram.so", host("/bin/true"), 0o755).with(triplet+"other.so", library, 0o644)
	r.with("etc/ld.so.conf", "include /etc/ld.so.conf.d/*.conf\n", 0o644).with("etc/ld.so.conf.d/b.conf", "# b\n/opt/lib=libc6 # more\n/lib/x86_64-linux-gnu\nhwcap 1 x\n", 0o644)
	r.with("etc/ld.so.conf.d/a.conf", "/none\n/opt/second/\ninclude more/*\n", 0o644).with("etc/ld.so.conf.d/none", "/opt/third", 0o644).with("etc/ld.so.conf.d/more/x", "/opt/fourth\n", 0o644)
	for _, name := range []string{"second", "third", "fourth"} {
		r.with("opt/"+name+"/lib"+name+".so.10", library, 0o644)
	}
	dir := laid(t, r)
	if out, err := exec.CommandContext(t.Context(), "/sbin/ldconfig", "-r", dir).CombinedOutput(); err != nil {
		t.Fatalf("ldconfig: %v: %s", err, out)
	}
	system := maintscript.New(r, time.Time{})
	if err := system.Run(t.Context(), tea, "postinst", []byte("#!/bin/sh\nset -e\nldconfig -r /\n")); err != nil || system.Finish() != nil {
		t.Fatal(err)
	}
	want := host(filepath.Join(dir, "etc/ld.so.cache"))
	if got := r["etc/ld.so.cache"].text; got != want {
		t.Errorf("another cache: %s", cmp.Diff(strings.Split(want, "\x00"), strings.Split(got, "\x00")))
	}
	if _, there := r[triplet+"libgone.so.1"]; there {
		t.Error("a link to nowhere is left")
	}
	for name, f := range r {
		if to, err := os.Readlink(filepath.Join(dir, name)); f.Mode&fs.ModeSymlink != 0 && (err != nil || to != f.Target) {
			t.Errorf("%s leads to %s, and ldconfig's to %s, %v", name, f.Target, to, err)
		}
	}
}
