package maintscript_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"overland/internal/deb/maintscript"
	"overland/internal/errs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// root is a root in memory.
type root map[string]file

type file struct {
	maintscript.File
	text string
}

func newRoot() root {
	r := root{}
	for _, dir := range []string{"etc", "root", "tmp", "usr", "usr/bin", "usr/sbin", "usr/share", "var", "var/lib"} {
		r[dir] = file{File: maintscript.File{Mode: fs.ModeDir | 0o755}}
	}
	r["bin"] = file{File: maintscript.File{Mode: fs.ModeSymlink | 0o777, Target: "usr/bin"}}
	return r
}

func (r root) with(name, text string, mode fs.FileMode) root {
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		if _, ok := r[dir]; !ok {
			r[dir] = file{File: maintscript.File{Mode: fs.ModeDir | 0o755}}
		}
	}
	r[name] = file{maintscript.File{Mode: mode, Size: int64(len(text))}, text}
	return r
}

func (r root) Get(name string) (maintscript.File, bool) { f, ok := r[name]; return f.File, ok }

func (r root) List(dir string) (list []string) {
	for name := range r {
		if path.Dir(name) == path.Clean(dir) {
			list = append(list, path.Base(name))
		}
	}
	slices.Sort(list)
	return list
}

func (r root) Read(name string) ([]byte, error) { return []byte(r[name].text), nil }

func (r root) Put(name string, f maintscript.File, b []byte) error {
	if !fs.ValidPath(name) {
		panic("not a clean name: " + name)
	}
	text := string(b)
	if b == nil && f.Mode.IsRegular() {
		text = r[name].text
	}
	f.Size = int64(len(text))
	r[name] = file{f, text}
	return nil
}

func (r root) Bytes(name string) io.ReaderAt { return strings.NewReader(r[name].text) }

func (r root) Remove(name string) {
	maps.DeleteFunc(r, func(one string, _ file) bool { return one == name || strings.HasPrefix(one, name+"/") })
}

func (r root) Rename(from, to string) error {
	r.Remove(to)
	for _, one := range slices.Collect(maps.Keys(r)) {
		if one == from || strings.HasPrefix(one, from+"/") {
			r[to+strings.TrimPrefix(one, from)] = r[one]
			delete(r, one)
		}
	}
	return nil
}

// lines returns what r has that before has not, or otherwise, a line each.
func (r root) lines(before root) string {
	var out strings.Builder
	for _, name := range slices.Sorted(maps.Keys(r)) {
		f := r[name]
		if f == before[name] {
			continue
		}
		fmt.Fprintf(&out, "%s %v %d:%d", name, f.Mode, f.UID, f.GID)
		if f.Target != "" {
			fmt.Fprintf(&out, " -> %s", f.Target)
		}
		if f.text != "" {
			fmt.Fprintf(&out, " %q", f.text)
		}
		out.WriteString("\n")
	}
	for _, name := range slices.Sorted(maps.Keys(before)) {
		if _, ok := r[name]; !ok {
			fmt.Fprintf(&out, "%s is gone\n", name)
		}
	}
	return out.String()
}

var tea = maintscript.Package{
	Name: "tea", Version: "1", Architecture: "amd64",
	Templates: []byte("Template: tea/sugar\nType: boolean\nDefault: true\n\nTemplate: tea/kind\nType: select\nChoices: green, black\nDefault: green\n"),
	Files:     func(string) []string { return []string{"usr/bin/tea"} },
	Installed: func(name string) string { return map[string]string{"tea": "1"}[name] },
}

// ran returns what running text on r changes.
func ran(t testing.TB, r root, text string, args ...string) (string, error) {
	t.Helper()
	before := maps.Clone(r)
	s := maintscript.New(r, time.Unix(20000*24*60*60, 0))
	if !strings.HasPrefix(text, "#!") {
		text = "#!/bin/sh\nset -e\n" + text
	}
	if args == nil {
		args = []string{"configure", ""}
	}
	err := s.Run(t.Context(), tea, "postinst", []byte(text), args...)
	return r.lines(before), err
}

func TestScripts(t *testing.T) {
	passwd := func() root {
		return newRoot().with("etc/passwd", "root:*:0:0::/root:/bin/sh\nmail:x:8:8::/var/mail:/bin/sh\n", 0o644).
			with("etc/group", "root:*:0:\nmail:*:8:\nshadow:*:42:\n", 0o644).
			with("usr/sbin/useradd", "x", 0o755).with("usr/sbin/groupadd", "x", 0o755).with("usr/sbin/adduser", "x", 0o755).
			with("usr/sbin/addgroup", "x", 0o755).with("usr/sbin/usermod", "x", 0o755).with("usr/sbin/shadowconfig", "x", 0o755)
	}
	tools := func() root {
		return newRoot().with("usr/bin/vi.tiny", "tiny", 0o755).with("usr/bin/vim", "vim", 0o755).with("usr/share/man/vi.tiny.1", "page", 0o644)
	}
	for name, test := range map[string]struct {
		in   root
		text string
		want string
	}{
		"redirections": {nil, "echo one > /etc/a; echo two >> /etc/a; cat > /etc/b <<EOF\n$1\nEOF\n: > /etc/c", "etc/a -rw-r--r-- 0:0 \"one\\ntwo\\n\"\netc/b -rw-r--r-- 0:0 \"configure\\n\"\netc/c -rw-r--r-- 0:0\n"},
		"a mask":       {nil, "(umask 077; echo x > /etc/a); touch /etc/b", "etc/a -rw------- 0:0 \"x\\n\"\netc/b -rw-r--r-- 0:0\n"},
		"dash's echo":  {nil, `echo 'a\tb' > /etc/a; echo -n x > /etc/b`, "etc/a -rw-r--r-- 0:0 \"a\\tb\\n\"\netc/b -rw-r--r-- 0:0 \"x\"\n"},
		"bash's echo":  {nil, "#!/bin/bash\necho 'a\\tb' > /etc/a", "etc/a -rw-r--r-- 0:0 \"a\\\\tb\\n\"\n"},
		"through links": {
			nil, "ln -s /etc /root/link; echo x > /root/link/a; echo y > /root/../bin/b; rm /root/link",
			"etc/a -rw-r--r-- 0:0 \"x\\n\"\nusr/bin/b -rw-r--r-- 0:0 \"y\\n\"\n",
		},
		"above the root":             {nil, "cd /; cd ..; cat ../../../etc/passwd 2>/dev/null || echo none > ../../etc/a", "etc/a -rw-r--r-- 0:0 \"none\\n\"\n"},
		"a set -e in the first line": {nil, "#!/bin/sh -e\n{ false; } || true\necho x > /etc/a", "etc/a -rw-r--r-- 0:0 \"x\\n\"\n"},
		"no such file":               {nil, "if [ -x \"$(command -v no-such)\" ] || [ -e '' ]; then touch /etc/a; fi", ""},
		"what everyone has":          {nil, "command -v sed >/dev/null && which awk >/dev/null && touch /etc/a", "etc/a -rw-r--r-- 0:0\n"},
		"read":                       {nil, "printf '#x#y\\n  a  b \\nlast' | { while IFS='#' read -r a b; do echo \"$a|$b\"; done; echo \"$a\"; } > /etc/a", "etc/a -rw-r--r-- 0:0 \"|x#y\\n  a  b |\\nlast\\n\"\n"},
		"files": {
			newRoot().with("etc/old", "x", fs.ModeSetuid|0o711), "cp /etc/old /etc/new; cp -p /etc/old /etc/same; mkdir -p /var/a/b; mv /etc/old /var/a/b/; chmod u+s,o= /etc/new; rmdir -p --ignore-fail-on-non-empty /var/a",
			"etc/new urwx--x--- 0:0 \"x\"\netc/same urwx--x--x 0:0 \"x\"\nvar/a drwxr-xr-x 0:0\nvar/a/b drwxr-xr-x 0:0\nvar/a/b/old urwx--x--x 0:0 \"x\"\netc/old is gone\n",
		},
		"owners": {
			passwd(), "install -d -o mail -g 42 -m 2750 /var/a; touch /var/a/b; chown -R mail: /var/a; chgrp shadow /etc/group",
			"etc/group -rw-r--r-- 0:42 \"root:*:0:\\nmail:*:8:\\nshadow:*:42:\\n\"\nvar/a dgrwxr-x--- 8:8\nvar/a/b -rw-r--r-- 8:8\n",
		},
		"questions": {
			nil, ". /usr/share/debconf/confmodule\ndb_version 2.0\ndb_input high tea/sugar || true\ndb_go || true\ndb_get tea/sugar\necho $RET > /etc/a\ndb_set tea/kind black; db_get tea/kind; echo $RET >> /etc/a; db_metaget tea/kind choices; echo $RET >> /etc/a\nif db_get tea/none; then echo no >> /etc/a; fi; db_stop",
			"etc/a -rw-r--r-- 0:0 \"true\\nblack\\ngreen, black\\n\"\n",
		},
		"versions":          {nil, `dpkg --compare-versions "$2" lt 1; dpkg --compare-versions 1:1 gt 2; ! dpkg --compare-versions "$2" lt-nl 1; ! dpkg --compare-versions 1~a ge 1; touch /etc/a`, "etc/a -rw-r--r-- 0:0\n"},
		"what is installed": {nil, `dpkg -s tea >/dev/null; ! dpkg -s coffee 2>/dev/null; dpkg-query -W -f '${Version} ${db:Status-Status}\n' tea > /etc/a; dpkg -L tea >> /etc/a`, "etc/a -rw-r--r-- 0:0 \"1 installed\\n/usr/bin/tea\\n\"\n"},
		"a diversion": {
			newRoot().with("usr/bin/sh", "bash", 0o755), "dpkg-divert --package tea --divert /bin/sh.distrib --rename --add /bin/sh; ln -sf dash /bin/sh; dpkg-divert --listpackage /bin/sh > /etc/a; dpkg-divert --truename /bin/sh >> /etc/a",
			"etc/a -rw-r--r-- 0:0 \"tea\\n/bin/sh\\n\"\nusr/bin/sh Lrwxrwxrwx 0:0 -> dash\nusr/bin/sh.distrib -rwxr-xr-x 0:0 \"bash\"\n",
		},
		"alternatives": {
			tools(), "update-alternatives --install /usr/bin/vi vi /usr/bin/vi.tiny 15 --slave /usr/share/man/vi.1 vi.1 /usr/share/man/vi.tiny.1\nupdate-alternatives --quiet --install /usr/bin/vi vi /usr/bin/vim 30\nupdate-alternatives --install /usr/bin/ex ex /usr/bin/none 1 2>/dev/null || true",
			"etc/alternatives drwxr-xr-x 0:0\netc/alternatives/vi Lrwxrwxrwx 0:0 -> /usr/bin/vim\nusr/bin/vi Lrwxrwxrwx 0:0 -> /etc/alternatives/vi\nvar/lib/dpkg drwxr-xr-x 0:0\nvar/lib/dpkg/alternatives drwxr-xr-x 0:0\n" +
				"var/lib/dpkg/alternatives/vi -rw-r--r-- 0:0 \"auto\\n/usr/bin/vi\\nvi.1\\n/usr/share/man/vi.1\\n\\n/usr/bin/vi.tiny\\n15\\n/usr/share/man/vi.tiny.1\\n/usr/bin/vim\\n30\\n\\n\\n\"\n",
		},
		"users": {
			passwd(), "adduser --system --group --home /var/lib/tea --shell /bin/false tea >/dev/null; addgroup --quiet --system _cup; groupadd -r pot; useradd --system --gid pot --no-create-home --shell /bin/false pot; usermod -a -G mail pot; id -u tea > /etc/a; getent group pot | cut -d: -f3 >> /etc/a; chown tea:_cup /etc/a",
			"etc/a -rw-r--r-- 100:101 \"100\\n999\\n\"\netc/group -rw-r--r-- 0:0 \"root:*:0:\\nmail:*:8:pot\\nshadow:*:42:\\ntea:x:100:\\n_cup:x:101:\\npot:x:999:\\n\"\n" +
				"etc/passwd -rw-r--r-- 0:0 \"root:*:0:0::/root:/bin/sh\\nmail:x:8:8::/var/mail:/bin/sh\\ntea:x:100:100::/var/lib/tea:/bin/false\\npot:x:999:999::/home/pot:/bin/false\\n\"\nvar/lib/tea drwxr-xr-x 100:100\n",
		},
		"passwords": {passwd(), "shadowconfig on", "etc/group -rw-r--r-- 0:0 \"root:x:0:\\nmail:x:8:\\nshadow:x:42:\\n\"\netc/gshadow -rw-r----- 0:42 \"root:*::\\nmail:*::\\nshadow:*::\\n\"\n" +
			"etc/passwd -rw-r--r-- 0:0 \"root:x:0:0::/root:/bin/sh\\nmail:x:8:8::/var/mail:/bin/sh\\n\"\netc/shadow -rw-r----- 0:42 \"root:*:20000:0:99999:7:::\\nmail:x:20000:0:99999:7:::\\n\"\n"},
		"no service":               {newRoot().with("usr/bin/deb-systemd-helper", "x", 0o755), "deb-systemd-helper enable tea.service; invoke-rc.d tea start; update-rc.d tea defaults", ""},
		"the root's own script":    {newRoot().with("usr/sbin/brew", "#!/bin/sh\necho \"$1\" > /etc/a\nexit 3\n", 0o755), "brew green || echo $? >> /etc/a", "etc/a -rw-r--r-- 0:0 \"green\\n3\\n\"\n"},
		"a failure in a condition": {nil, "set -e\nif (false; true); then touch /etc/a; fi\n(false; touch /etc/b) || :\n! (false; touch /etc/c) || :\n(false; touch /etc/d) | cat || :", "etc/a -rw-r--r-- 0:0\netc/b -rw-r--r-- 0:0\netc/c -rw-r--r-- 0:0\netc/d -rw-r--r-- 0:0\n"},
		"a trap":                   {nil, "trap 'rm -f /tmp/x' EXIT; touch /tmp/x /etc/a", "etc/a -rw-r--r-- 0:0\n"},
		"the date":                 {nil, "date > /etc/a; uname -s >> /etc/a; uname -m >> /etc/a", "etc/a -rw-r--r-- 0:0 \"Fri Oct  4 00:00:00 UTC 2024\\nLinux\\nx86_64\\n\"\n"},
	} {
		t.Run(name, func(t *testing.T) {
			if test.in == nil {
				test.in = newRoot()
			}
			got, err := ran(t, test.in, test.text)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// What is not done here is named, and what never ends is ended.
func TestWhatScriptsCannotDo(t *testing.T) {
	tree := func() root { return newRoot().with("usr/bin/brew", "\x7fELF", 0o755) }
	for name, test := range map[string]struct {
		text, want string
		unknown    bool
	}{
		"a program of the root":   {"brew tea", "it runs brew, which is not done here", true},
		"also when it may fail":   {"brew tea || true", "it runs brew, ", true},
		"a command of Debian's":   {"perl -e 1", "it runs perl, ", true},
		"an option":               {"cp --sparse=always /etc/a /etc/b", "it runs cp --sparse=always /etc/a /etc/b", true},
		"the root's own mode":     {"chmod 700 /", "it runs chmod 700 /", true},
		"another language":        {"#!/usr/bin/perl\n1;", "it is written for /usr/bin/perl", true},
		"no language":             {"#\n1", "exit code", false},
		"its process":             {"echo $$", "it uses $$", true},
		"by chance":               {"#!/bin/bash\necho $RANDOM", "it uses $RANDOM", true},
		"the background":          {"true & wait", "it starts something in the background", true},
		"substituted files":       {"#!/bin/bash\ncat <(true)", "it uses <(…)", true},
		"its process, evaluated":  {"eval 'echo $'$", "it uses $$", true},
		"by two ways":             {"builtin eval 'echo $'$", "it uses $$", true},
		"by three":                {"command builtin eval 'echo $'$", "it uses $$", true},
		"in a sum":                {"#!/bin/bash\necho $((PPID))", "it uses $PPID", true},
		"in a sum, by a name":     {"#!/bin/bash\nx=RANDOM; echo $((x))", "it uses $RANDOM", true},
		"in a sum, quoted":        {"#!/bin/bash\nx=' SECONDS'; echo $((x))", "it uses $SECONDS", true},
		"in a sum, by two parts":  {"#!/bin/bash\na=RAN; x=${a}DOM; y=$((x)); x=1; echo $y", "it uses $RANDOM", true},
		"in a comparison":         {"#!/bin/bash\n[[ RANDOM -gt 3 ]]", "it uses $RANDOM", true},
		"by another name":         {"#!/bin/bash\nn=HOME; echo ${!n}", "it uses ${!", true},
		"as another name":         {"#!/bin/bash\ndeclare -n n=PPID; echo $n", "variables that stand for others", true},
		"by an alias":             {"alias 'x=echo $PPID'", "it runs alias", true},
		"in a trap with a dash":   {"trap -- 'echo $'$ EXIT", "it uses $$", true},
		"a home of this machine":  {"echo ~daemon", "it uses ~daemon", true},
		"one after a colon":       {"echo ${none:-~daemon/x}", "it uses ~daemon/x", true},
		"a folder's other name":   {"builtin pwd -P", "it runs pwd -P", true},
		"programs of the machine": {"command -v no-such /bin/cat-of-this-machine && command -v /proc/version no-such", "exit code 1", false},
		"the time":                {"#!/bin/bash\ntime true", "it measures time", true},
		"a link above the root":   {"ln -s /x/.. /", "not a file below the root", false},
		"a copy above the root":   {"mkdir -p /a/b; cp -r /a/b/.. /", "not a file below the root", false},
		"moved above the root":    {"mkdir -p /a/b; mv /a/b/.. /", "not a file below the root", false},
		"a link for the root":     {"ln -s /x/.. /etc", "not a file below the root", false},
		"files, in a trap":        {"#!/bin/bash\ntrap 'cat <(true)' EXIT", "it uses <(…)", true},
		"the background, sourced": {"echo 'true &' > /etc/a; . /etc/a", "it starts something in the background", true},
		"braces":                  {"touch /etc/{a,b}", "which sh does not expand", true},
		"a file of this machine":  {"cat /proc/self/environ", "exit code 1: cat: ", false},
		"a redirected one":        {"cat < /proc/self/environ", "exit code 1", false},
		"a failure in a list":     {"if true; then true && false; fi; echo >&2 on", "exit code 1: ", false},
		"a failure":               {"echo cold >&2; exit 5", "exit code 5: cold", false},
		"nothing of that name":    {"no-such-thing", "exit code 127: no-such-thing: not found", false},
		"no end":                  {"while :; do :; done", "it runs more than 50000 commands", false},
		"no end of output":        {"while :; do cat /etc/big; done", "it prints more than", false},
		"no end of a file":        {"cat" + strings.Repeat(" /etc/big", 9) + " > /etc/a; :", "it writes more than", false},
		"no end of words":         {"x=$(cat /etc/big); y=$(while :; do echo $x; done)", "it prints more than", false},
		"a long script":           {strings.Repeat("#", 128<<10), "a script of more than", false},
		"a long one, evaluated":   {"eval \"# $(cat /etc/big)\"", "a script of more than", false},
		"lists in lists":          {strings.Repeat("(", 600) + "true" + strings.Repeat(")", 600), "nested more than", false},
		"nested, not ended":       {strings.Repeat("$(", 10<<10), "", false},
		"nested, evaluated":       {"eval '" + strings.Repeat("(", 600) + "true" + strings.Repeat(")", 600) + "'", "nested more than", false},
		"functions without end":   {"f() { " + strings.Repeat("{ ", 50) + "f; " + strings.Repeat("};", 50) + " }\nf", "without end", false},
		"variables that double":   {"x=aaaaaaaaaaaaaaaa\n" + strings.Repeat("x=$x$x\n", 24) + ":", "its variables have more than", false},
		"local ones":              {"f() { x=aaaaaaaaaaaaaaaa\n" + strings.Repeat("local x=$x$x\n", 24) + ":; }; f", "its variables have more than", false},
		"by default":              {"x=aaaaaaaaaaaaaaaa\n" + strings.Repeat("y=; case ${y:=$x$x} in a) ;; esac; x=${y}\n", 24) + ":", "its variables have more than", false},
		"evaluated ones":          {"x=aaaaaaaaaaaaaaaa; eval '" + strings.Repeat("x=$x$x;", 24) + "'; :", "its variables have more than", false},
		"sourced ones":            {"x=aaaaaaaaaaaaaaaa; echo '" + strings.Repeat("x=$x$x;", 24) + "' > /etc/a; . /etc/a; :", "its variables have more than", false},
		"ones of a trap":          {"x=aaaaaaaaaaaaaaaa; trap -- '" + strings.Repeat("x=$x$x;", 24) + ":' EXIT", "its variables have more than", false},
		"lists of variables":      {"#!/bin/bash\na=(a a a a)\nwhile :; do a=(\"${a[@]}\" \"${a[@]}\"); done", "its variables have more than", false},
		"arguments that double":   {"while :; do set -- \"$@\" \"$@\"; done", "its variables have more than", false},
		"many in one command":     {"x=$(cat /etc/big); : " + strings.Repeat("$x", 65), "more than 64 variables", false},
		"replaced letters":        {"#!/bin/bash\nx=$(cat /etc/big); : ${x//x/$x}", "into ${…/…/…}", true},
		"sequences":               {"#!/bin/bash\n: {1..1000000000}", "it uses {…..…}", true},
		"lists times lists":       {"#!/bin/bash\n: {a,b}{a,b}{a,b}", "several of {…,…}", true},
		"many numbers":            {"seq 9223372036854775800 9223372036854775807", "it runs seq", true},
		"more numbers":            {"seq -9223372036854775808 9223372036854775807", "it runs seq", true},
		"a wide number":           {"printf '%9000000d' 1", "its variables have more than", false},
		"a format, many times":    {"set -- $(seq 1 2000); printf \"%9000d\" \"$@\"", "its variables have more than", false},
		"a line that doubles":     {"echo aaaaaaaa | sed '" + strings.Repeat("s/a/aa/g;", 20) + "'", "it makes more than", false},
		"lines, again and again":  {"sed 'p;p;p;p;p;p;p;p;p;p;p;p;p;p;p;p' /etc/big", "it makes more than", false},
		"fields, again and again": {"cut -c 1-" + strings.Repeat(",1-", 20) + " /etc/big", "it runs cut", true},
		"a file, again and again": {"#!/bin/bash\nwhile :; do x=$(</etc/big); done", "it reads more than", false},
		"no end of a variable":    {"a=aaaaaaaaaaaaaaaa; while :; do a=$a$a; done", "its variables have more than", false},
		"scripts of scripts":      {"again", "scripts run one another", false},
		"the root itself":         {"rm -rf /", "it is the root", false},
		"a loop of links":         {"ln -s b /etc/l1; ln -s l1 /etc/b; cat /etc/b", "too many levels", false},
		"a service where one may": {"mkdir -p /usr/lib/systemd; cp -p /bin/brew /usr/lib/systemd/systemd; invoke-rc.d tea start", "in a root that has /usr/lib/systemd/systemd", true},
	} {
		t.Run(name, func(t *testing.T) {
			r := tree().with("etc/big", strings.Repeat("x", 1<<20), 0o644).with("usr/bin/again", "#!/bin/sh\nagain\n", 0o755)
			_, err := ran(t, r, test.text)
			var unknown *maintscript.UnknownError
			if err == nil || !strings.Contains(err.Error(), test.want) || errors.As(err, &unknown) != test.unknown {
				t.Errorf("%v", err)
			}
			if !test.unknown && errs.KindOf(err) != errs.Invalid {
				t.Errorf("kind %v of %v", errs.KindOf(err), err)
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := maintscript.New(tree(), time.Time{}).Run(ctx, tea, "postinst", []byte("#!/bin/sh\nwhile :; do :; done")); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// The interpreter itself opens names that look like those of its own pipes.
func TestAScriptOpensNothingOfThisMachine(t *testing.T) {
	dir := t.TempDir()
	const name = "/sh-interp-1"
	secret := filepath.Join(dir, name)
	if err := os.WriteFile(secret, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", dir)
	for _, text := range []string{
		"echo x > " + secret, "cat < " + secret, "TMPDIR=" + dir + "; echo x > " + secret, "export TMPDIR=" + dir + "; write", "export TMPDIR=" + dir + "; . /usr/bin/write", "export TMPDIR=" + dir + "/; write",
		"echo x > /tmp" + name + "; cat < /tmp" + name + " > /etc/a", "echo x > /dev/null/none" + name, "echo $TMPDIR > /etc/a",
	} {
		r := newRoot().with("usr/bin/write", "#!/bin/sh\necho x > "+secret+"; cat < "+secret, 0o755)
		changed, err := ran(t, r, text)
		if strings.HasPrefix(text, "echo $") != strings.Contains(changed, "/tmp\\n") || strings.Contains(changed, "secret") || strings.Contains(fmt.Sprint(err), "secret") {
			t.Errorf("%s: %q %v", text, changed, err)
		}
	}
	if b, err := os.ReadFile(secret); err != nil || string(b) != "secret" {
		t.Errorf("%q %v", b, err)
	}
	if list, err := os.ReadDir(dir); err != nil || len(list) != 1 {
		t.Error(list, err)
	}
	if _, err := os.Lstat("/tmp" + name); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

func TestTriggers(t *testing.T) {
	s := maintscript.New(newRoot(), time.Time{})
	text := []byte("#!/bin/sh\nset -e\ndpkg-trigger --no-await b\ndpkg-trigger a\ndpkg-trigger a\n")
	if err := s.Run(t.Context(), tea, "postinst", text); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"a", "b"}, s.Triggers()); diff != "" || len(s.Triggers()) != 0 {
		t.Error(diff)
	}
}

// FuzzScript: no text makes this process fail, or wait.
func FuzzScript(f *testing.F) {
	for _, text := range []string{
		"echo $1 | sed -e 's/a/b/g' > /etc/a", "update-alternatives --install /a b /c 1", "case $1 in configure) mkdir -p /a/b/c;; esac",
		"for i in 1 2 3; do ln -s $i /etc/$i; done", ". /usr/share/debconf/confmodule\ndb_get tea/sugar", "read a b < /etc/a", "tr a-z A-Z < /etc/passwd | sort -u | grep -v '^[[:space:]]'",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		r := newRoot().with("etc/passwd", "root:*:0:0::/root:/bin/sh\n", 0o644)
		_ = maintscript.New(r, time.Time{}).Run(ctx, tea, "postinst", []byte("#!/bin/sh\n"+text), "configure", "")
		for name := range r {
			if !fs.ValidPath(name) {
				t.Errorf("a file called %q", name)
			}
		}
	})
}
