package cell_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"overland/internal/confine"
	"overland/internal/confine/cell"
	"overland/internal/errs"
	"overland/internal/fsx"
)

// inTemp returns a new folder below /tmp itself, with its links resolved.
func inTemp(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "cell")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// What an earlier command left in the folder that is /tmp leads this program nowhere: no file of the
// machine is made or emptied.
func TestS4LinksInTheTemporaryFolder(t *testing.T) {
	shown, outside := inTemp(t), t.TempDir()
	precious, tool := filepath.Join(outside, "precious"), filepath.Join(shown, "tool")
	for path, text := range map[string]string{precious: "text", tool: "#!/bin/sh"} {
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	rel, err := filepath.Rel("/tmp", shown)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ link, to string }{
		"of the folder": {rel, outside},
		"of the file":   {filepath.Join(rel, "tool"), precious},
	} {
		tmp := t.TempDir()
		if err := errors.Join(os.MkdirAll(filepath.Dir(filepath.Join(tmp, c.link)), 0o755), os.Symlink(c.to, filepath.Join(tmp, c.link))); err != nil {
			t.Fatal(err)
		}
		_, _ = cell.Spec(cell.Options{Command: []string{"/bin/true"}, Own: []string{tmp}, Tmp: tmp, Read: []string{tool}})
		if b, err := os.ReadFile(precious); err != nil || string(b) != "text" {
			t.Errorf("%s: %q, %v", name, b, err)
		}
		if list, _ := os.ReadDir(outside); len(list) != 1 {
			t.Errorf("%s: %v", name, list)
		}
	}
	tmp := t.TempDir()
	for range 2 { // the second time all is there
		if _, err := cell.Spec(cell.Options{Command: []string{"/bin/true"}, Own: []string{tmp}, Tmp: tmp, Read: []string{tool, outside}}); err != nil {
			t.Error(err)
		}
	}
	made := filepath.Join(tmp, rel, "tool")
	if info, err := os.Stat(made); err != nil || info.Size() != 0 {
		t.Errorf("%v, %v", info, err)
	}
	if err := os.WriteFile(made, []byte("text"), 0o755); err != nil { // as an earlier command may
		t.Fatal(err)
	}
	if _, err := cell.Spec(cell.Options{Command: []string{"/bin/true"}, Own: []string{tmp}, Tmp: tmp, Read: []string{tool}}); err != nil {
		t.Error(err)
	}
	if b, err := os.ReadFile(made); string(b) != "text" {
		t.Errorf("what lay there is %q now, %v", b, err)
	}
}

// A file into which the caller has the output of a command is not the command's: who has it may open it
// again, and read or cut what others wrote there. Anything but a file is handed over unchanged.
func TestTheCallersFileIsNotHandedOver(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	const mode = 0o600
	open := func() *os.File {
		f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, mode)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return f
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	out, other := open(), open()
	for what, o := range map[string]cell.Options{
		"one file":  {Stdout: out, Stderr: other},
		"an output": {Stdout: out, Stderr: w},
		"an error":  {Stdout: w, Stderr: out},
		"a pipe":    {Stdout: w, Stderr: w},
		"nothing":   {},
	} {
		o.Command = []string{"/bin/true"}
		s, err := cell.Spec(o)
		if err != nil {
			t.Fatal(err)
		}
		for _, pair := range [][2]io.Writer{{o.Stdout, s.Stdout}, {o.Stderr, s.Stderr}} {
			f, handed := pair[1].(*os.File)
			if file := pair[0] == out || pair[0] == other; file == handed && pair[0] != nil || handed && f != w {
				t.Errorf("%s: %T for %v", what, pair[1], pair[0])
			}
		}
		if what == "one file" {
			if _, err := io.WriteString(s.Stderr, "text"); err != nil || s.Stdout != s.Stderr {
				t.Errorf("two pipes for one file, or %v", err)
			}
		}
	}
	if b, err := os.ReadFile(path); string(b) != "text" {
		t.Errorf("wrote %q, %v", b, err)
	}
}

// mounts returns what a command sees, by its path there.
func mounts(t *testing.T, o cell.Options) map[string]confine.Mount {
	t.Helper()
	o.Command = []string{"/bin/true"}
	s, err := cell.Spec(o)
	if err != nil {
		t.Fatal(err)
	}
	at := map[string]confine.Mount{}
	for _, m := range s.Mounts {
		at[m.Target] = m
	}
	return at
}

func TestWhatACommandSees(t *testing.T) {
	site, home, own, opt := t.TempDir(), t.TempDir(), t.TempDir(), t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("OVERLAND_HOME", site)
	for _, path := range []string{site + "/bin/tool", site + "/lib/x", site + "/keys/root.key", home + "/.tool/bin/tool", home + "/.tool/lib/x", home + "/bin/tool", home + "/lib/x", home + "/scripts/tool", opt + "/cmake/bin/cmake", opt + "/cmake/share/modules", home + "/.tool/share/keys"} {
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte("#!/bin/sh"), 0o755)); err != nil {
			t.Fatal(err)
		}
	}
	in := filepath.Join(own, "inner")
	if err := os.Mkdir(in, 0o755); err != nil {
		t.Fatal(err)
	}
	at := mounts(t, cell.Options{
		Environ: []string{"PATH=" + opt + "/cmake/bin:" + site + "/bin:" + home + "/.tool/bin:" + home + "/bin:" + home + "/scripts:" + home + ":" + site + ":relative:/usr/bin"},
		Own:     []string{own}, Read: []string{site + "/lib", "/no/such"}, Hide: []string{in, home + "/hidden"},
	})
	for path, m := range at {
		if m.Writable != (path == own) {
			t.Errorf("%s: writable %v", path, m.Writable)
		}
		if m.Kind == confine.Temp && m.Size == 0 {
			t.Errorf("%s may have all of the memory", path)
		}
	}
	// Programs with what belongs to them, and not what they lie in: a home, or a site directory.
	for _, path := range []string{home + "/.tool/bin", home + "/.tool/lib", home + "/bin", home + "/scripts/tool", site + "/bin", in, opt + "/cmake/share"} {
		if _, ok := at[path]; !ok {
			t.Errorf("%s is not shown", path)
		}
	}
	for _, path := range []string{home, site, site + "/keys", home + "/lib", home + "/.tool", home + "/.tool/share", home + "/scripts", home + "/hidden", "relative", opt, opt + "/cmake"} {
		if m, ok := at[path]; ok {
			t.Errorf("%s is shown: %+v", path, m)
		}
	}
	if at[in].Kind != confine.Temp {
		t.Errorf("what is hidden: %+v", at[in])
	}
}

// A folder comes after the one that it lies in, and what is writable after what is not.
func TestMountsAreInOrder(t *testing.T) {
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "a", "b")
	if err := os.MkdirAll(b, 0o755); err != nil {
		t.Fatal(err)
	}
	s, err := cell.Spec(cell.Options{Command: []string{"/bin/true"}, Own: []string{b, dir}, Read: []string{b, a}})
	if err != nil {
		t.Fatal(err)
	}
	place := map[string]int{}
	for i, m := range s.Mounts {
		if m.Writable {
			place["own "+m.Target] = i
		} else {
			place[m.Target] = i
		}
	}
	if place["own "+dir] > place[a] || place[a] > place["own "+b] || place[b] > place["own "+b] {
		t.Errorf("%v", place)
	}
}

func TestWhoACommandIs(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("run it as root: it becomes somebody else")
	}
	own, theirs := t.TempDir(), t.TempDir()
	if err := os.Chown(theirs, 1234, 2345); err != nil {
		t.Fatal(err)
	}
	s, err := cell.Spec(cell.Options{Command: []string{"/bin/true"}, Own: []string{own}})
	if err != nil || s.User.HostID != cell.User || s.User.HostGroup != cell.User || s.User.ID == 0 || s.User.Share || owned(t, own) != cell.User {
		t.Errorf("%+v, %v; its own folder is of %d", s.User, err, owned(t, own))
	}
	if err := os.Chown(own, cell.User, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := cell.Spec(cell.Options{Command: []string{"/bin/true"}, Own: []string{own}}); err != nil || group(t, own) != cell.User {
		t.Errorf("%v; its own folder is of the group %d", err, group(t, own))
	}
	s, err = cell.Spec(cell.Options{Command: []string{"/bin/true"}, Write: []string{theirs, own}})
	if err != nil || s.User.HostID != 1234 || s.User.HostGroup != 2345 || owned(t, theirs) != 1234 {
		t.Errorf("%+v, %v", s.User, err)
	}
}

// A repository asks for limits, and gets no more than the machine can bear.
func TestLimitsAreBounded(t *testing.T) {
	dir := t.TempDir()
	usual := cell.Limits(confine.Limits{}, dir)
	if usual.Processes != cell.Processes || usual.Time != cell.Time || usual.Memory <= 0 || usual.Disk <= 0 {
		t.Errorf("nothing asked for: %+v", usual)
	}
	const much = 1 << 60
	most := cell.Limits(confine.Limits{Memory: much, Processes: 1 << 30, Disk: much, Time: much}, dir)
	if most.Processes != cell.MostProcesses || most.Time != cell.MostTime || most.Memory != usual.Memory || most.Disk >= usual.Disk*2 || most.Disk < usual.Disk {
		t.Errorf("all asked for: %+v, usual %+v", most, usual)
	}
	if three := cell.Memory() / 4 * 3; usual.Memory != three {
		t.Errorf("%d bytes of memory, want three quarters: %d", usual.Memory, three)
	}
	if free, err := fsx.Free(dir); err != nil || usual.Disk > free*5/8 || most.Disk > free*7/8 { // others write meanwhile
		t.Errorf("%d bytes of the disk, and %d at most; %d are free, %v", usual.Disk, most.Disk, free, err)
	}
	for _, c := range []struct{ asked, most, want int64 }{{0, 8, 4}, {2, 8, 2}, {9, 8, 8}, {9, 0, 9}, {0, 0, 4}} {
		if got := cell.Within(c.asked, 4, c.most); got != c.want {
			t.Errorf("%+v: %d", c, got)
		}
	}
	few := confine.Limits{Memory: 1, Processes: 2, Disk: 3, Time: 4}
	if got := cell.Limits(few, dir); got != few {
		t.Errorf("little asked for: %+v", got)
	}
}

func TestIsolations(t *testing.T) {
	for s, want := range map[string]cell.Isolation{"": cell.Full, "full": cell.Full, "none": cell.None} {
		if got, err := cell.Parse(s); got != want || err != nil {
			t.Errorf("%q: %q, %v", s, got, err)
		}
	}
	for _, s := range []string{"None", "off", "full "} {
		if got, err := cell.Parse(s); errs.KindOf(err) != errs.Invalid || got != "" {
			t.Errorf("%q: %q, %v", s, got, err)
		}
	}
}

// Tools that are installed below /usr have settings of the whole machine there too: npm's may hold a
// token. A command sees what lies beside them, and them no more than those in /etc.
func TestS4TheMachinesSettingsAreNotShown(t *testing.T) {
	dir := inTemp(t)
	if got := cell.WithoutSettings(dir); got != nil {
		t.Errorf("nothing to hide: %+v", got)
	}
	for _, name := range []string{
		"npmrc", "pip.conf", "gitconfig", "git-credentials", "netrc", "wgetrc", "curlrc", "yarnrc", "bunfig.toml", "php/php.ini", "plain",
	} {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte("text"), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("plain", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	got := cell.WithoutSettings(dir)
	if len(got) == 0 || got[0].Kind != confine.Temp || got[0].Target != dir || got[0].Size == 0 {
		t.Fatalf("%+v", got)
	}
	var names []string
	for _, m := range got[1:] {
		names = append(names, filepath.Base(m.Target))
		link := m.Kind == confine.Symlink && m.Source == "plain"
		if m.Writable || filepath.Dir(m.Target) != dir || link != (m.Target == filepath.Join(dir, "link")) || !link && m.Source != m.Target {
			t.Errorf("%+v", m)
		}
	}
	if !slices.Equal(names, []string{"link", "php", "plain"}) {
		t.Errorf("%v are shown", names)
	}
	at := mounts(t, cell.Options{})
	for _, dir := range []string{"/usr", "/usr/local", "/usr/etc", "/usr/local/etc"} {
		if len(cell.WithoutSettings(dir)) > 0 && at[dir].Kind != confine.Temp {
			t.Errorf("%s is shown whole: %+v", dir, at[dir])
		}
	}
}
