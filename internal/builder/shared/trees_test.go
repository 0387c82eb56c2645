package shared_test

import (
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"overland/internal/builder/shared"
	"overland/internal/errs"
	"overland/internal/netcache"
	"overland/internal/netcache/client"
	"overland/internal/platform"
	"overland/internal/testkit/shacache"
)

const software = "https://git.example/p/raw/1.0.167/software/hello/software.cfg"

// software tree in a folder of its own
func newTree(t *testing.T) string {
	root := filepath.Join(t.TempDir(), netcache.MD5(software))
	write(t, filepath.Join(root, "bin/hello"), "#!/bin/sh\necho hello\n", 0o755)
	must(t, os.Symlink(filepath.Join(root, "bin"), filepath.Join(root, "sbin")))
	return root
}

func TestATreeTravels(t *testing.T) {
	c := shacache.New(t)
	keys := c.Keys("maker")
	maker, root := newClient(t, c.Config(keys, keys), client.Options{}), newTree(t)
	up, err := shared.UploadTree(t.Context(), maker, root, shared.TreeOptions{URL: software, Host: debian12})
	must(t, err)
	if up.Tree.Entries != 4 || len(up.Tree.Rewritten) != 1 {
		t.Errorf("%+v", up.Tree)
	}
	must(t, os.RemoveAll(root))
	reader := newClient(t, c.Config(shacache.Keys{}, keys), client.Options{})
	dest := filepath.Join(t.TempDir(), "opt", "anywhere")
	in, err := shared.InstallTree(t.Context(), reader, dest, shared.TreeOptions{URL: software, Host: debian12})
	must(t, err)
	if got := sh(t, filepath.Join(dest, "sbin/hello")); got != "hello\n" || in.Kind != debian12 || in.Name() != up.Name {
		t.Errorf("it says %q; %+v", got, in)
	}
	if names, _ := os.ReadDir(filepath.Dir(dest)); len(names) != 1 {
		t.Errorf("beside it: %v", names)
	}
	_, err = shared.InstallTree(t.Context(), reader, dest, shared.TreeOptions{URL: software, Host: debian12})
	kindOfErr(t, err, errs.Conflict, "exists already")
	_, err = shared.InstallTree(t.Context(), reader, dest+"2", shared.TreeOptions{URL: software + "x", Host: debian12})
	kindOfErr(t, err, errs.NotFound, "nothing for")
	_, err = shared.InstallTree(t.Context(), reader, dest+"2", shared.TreeOptions{URL: software, Host: debian12, List: netcache.Prefixes{"https://GIT.example/p"}})
	kindOfErr(t, err, errs.Denied, "download-from-binary-cache-url-blacklist")
	other := *kind(func(h *platform.Host) { h.Release = "13" })
	_, err = shared.InstallTree(t.Context(), reader, dest+"2", shared.TreeOptions{URL: software, Host: other})
	kindOfErr(t, err, errs.NotFound, "nothing for this machine (debian 13, amd64 (x86-64-v3), glibc 2.36); there is\n  debian 12, amd64 (x86-64-v3), glibc 2.36: it is for release 12, this is 13")
	if _, err := os.Stat(dest + "2"); err == nil {
		t.Error("a refused tree is there")
	}
}

// What old clients read of an entry is what they expect: SlapObject's metadata.
func TestOldClientsReadTheEntry(t *testing.T) {
	c := shacache.New(t)
	keys := c.Keys("maker")
	root := newTree(t)
	_, err := shared.UploadTree(t.Context(), newClient(t, c.Config(keys, keys), client.Options{}), root, shared.TreeOptions{URL: software, Host: debian12})
	must(t, err)
	list, err := c.Shelf.List(netcache.MD5(software))
	must(t, err)
	e, err := netcache.NewEntry(list[0].Metadata, list[0].Signature)
	must(t, err)
	known, _, err := netcache.ParseCertificates(keys.List)
	must(t, err)
	if _, ok := netcache.Signer(known, e); !ok {
		t.Error("the outer signature does not hold")
	}
	system, _ := e.Fields["os"].([]any)
	if e.Text("software_url") != software || e.Text("software_root") != filepath.Dir(root) || e.Text("multiarch") != "x86_64-linux-gnu" ||
		len(system) != 3 || system[0] != "debian" || system[1] != "12" || system[2] != "bookworm" {
		t.Errorf("%s", e.Metadata)
	}
}

func TestWhatIsNotUploaded(t *testing.T) {
	c := shacache.New(t)
	keys := c.Keys("maker")
	maker, root := newClient(t, c.Config(keys, keys), client.Options{}), newTree(t)
	for name, test := range map[string]struct {
		o    shared.TreeOptions
		kind errs.Kind
		want string
	}{
		"a branch":       {shared.TreeOptions{URL: "https://git.example/p/raw/feature/software.cfg", Host: debian12}, errs.Denied, "no version, tag or commit"},
		"HEAD":           {shared.TreeOptions{URL: "http://git.example/x.git/blob_plain/HEAD:/1.0/software.cfg", Host: debian12}, errs.Denied, "HEAD"},
		"on the list":    {shared.TreeOptions{URL: software, Host: debian12, List: netcache.Prefixes{"https://git.example:443/q/../p"}}, errs.Denied, "upload-to-binary-cache-url-blacklist"},
		"on it, mutable": {shared.TreeOptions{URL: software, Host: debian12, Mutable: true, List: netcache.Prefixes{"https://git.example/"}}, errs.Denied, "blacklist"},
		"a password":     {shared.TreeOptions{URL: strings.Replace(software, "git.", "u:secret@git.", 1), Host: debian12}, errs.Invalid, "public"},
		"a token":        {shared.TreeOptions{URL: software + "?private_token=secret", Host: debian12}, errs.Invalid, "public"},
		"no URL":         {shared.TreeOptions{URL: "/srv/software.cfg", Host: debian12}, errs.Invalid, "not the URL"},
		"unknown host":   {shared.TreeOptions{URL: software, Host: *kind(func(h *platform.Host) { h.Libc = "" })}, errs.Invalid, "is unknown"},
		"fixed":          {shared.TreeOptions{URL: software, Host: debian12, Prefixes: []string{"/bin/sh"}}, errs.Invalid, "bin/hello: its first line"},
	} {
		_, err := shared.UploadTree(t.Context(), maker, root, test.o)
		kindOfErr(t, err, test.kind, test.want)
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: the password is shown: %v", name, err)
		}
	}
	if list, err := c.Shelf.List(netcache.MD5(software)); len(list) != 0 {
		t.Errorf("%v, %v", list, err)
	}
	_, err := shared.UploadTree(t.Context(), maker, root, shared.TreeOptions{URL: "https://git.example/p/raw/master/software.cfg", Host: debian12, Mutable: true})
	must(t, err)
}

// Entries as slapgrid makes them: by its rules, and only where the caller believes SHA-1.
func TestEntriesOfOldClients(t *testing.T) {
	c := shacache.New(t)
	keys := c.Keys("old")
	keys.Ed25519 = ""
	uploader, root := newClient(t, c.Config(keys, keys), client.Options{}), newTree(t)
	ubuntu := platform.Host{OS: "ubuntu", Release: "22.04", Codename: "jammy", Arch: "amd64", CPU: "x86-64-v1", Libc: "glibc", LibcVersion: "2.35", Multiarch: "x86_64-linux-gnu"}
	for name, test := range map[string]struct {
		system any
		arch   map[string]any
		here   platform.Host
		runs   bool
	}{
		"the same":          {[]any{"debian", "12.4", "bookworm"}, nil, debian12, true},
		"capitals":          {[]any{"Debian", "12", ""}, nil, debian12, true},
		"raspbian":          {[]any{"raspbian", "12", ""}, nil, debian12, true},
		"another release":   {[]any{"debian", "11", "bullseye"}, nil, debian12, false},
		"ubuntu":            {[]any{"ubuntu", "22.04", "jammy"}, nil, ubuntu, true},
		"ubuntu's codename": {[]any{"ubuntu", "22.04", "focal"}, nil, ubuntu, false},
		"another arch":      {[]any{"debian", "12", ""}, map[string]any{"multiarch": "aarch64-linux-gnu"}, debian12, false},
		"of before 2021":    {"('debian', '12.1', '')", map[string]any{"machine": "x86_64"}, debian12, true},
		"another machine":   {"('debian', '12.1', '')", map[string]any{"machine": "armv7l"}, debian12, false},
		"no tuple":          {"debian 12", map[string]any{"machine": "x86_64"}, debian12, false},
		"nothing":           {nil, map[string]any{}, debian12, false},
		"unknown here":      {[]any{"debian", "12", ""}, nil, platform.Host{}, false},
		"with a newer libc": {[]any{"debian", "12", ""}, map[string]any{"multiarch": "x86_64-linux-gnu", "arch": "amd64", "march": "x86-64-v1", "libc": "glibc", "libc_min": "2.40"}, debian12, false},
	} {
		t.Run(name, func(t *testing.T) {
			url := software + "?" + netcache.MD5(name)
			key := netcache.MD5(url)
			archive := filepath.Join(t.TempDir(), "tree.tar.gz")
			must(t, os.MkdirAll(filepath.Join(t.TempDir(), "x"), 0o755))
			sh(t, "tar", "-C", filepath.Dir(root), "--transform=s,^"+filepath.Base(root)+","+key+",", "--exclude=sbin", "-czf", archive, filepath.Base(root))
			f, err := os.Open(archive)
			must(t, err)
			defer f.Close()
			fields := map[string]any{"software_url": url, "software_root": filepath.Dir(root), "os": test.system}
			if test.arch == nil {
				test.arch = map[string]any{"multiarch": "x86_64-linux-gnu"}
			}
			for k, v := range test.arch {
				fields[k] = v
			}
			_, err = uploader.Upload(t.Context(), f, key, fields)
			must(t, err)
			root := t.TempDir()
			dest := filepath.Join(root, key)
			careful := newClient(t, c.Config(shacache.Keys{}, c.Keys("new"+name)), client.Options{})
			_, err = shared.InstallTree(t.Context(), careful, dest, shared.TreeOptions{URL: url, Host: test.here})
			kindOfErr(t, err, errs.Untrusted, "")
			trusting := newClient(t, c.Config(shacache.Keys{}, keys), client.Options{SHA1: true})
			_, err = shared.InstallTree(t.Context(), trusting, dest, shared.TreeOptions{URL: url, Host: test.here})
			kindOfErr(t, err, errs.NotFound, "for")
			_, err = shared.InstallTree(t.Context(), trusting, dest, shared.TreeOptions{URL: url, Host: test.here, Old: true})
			if test.runs {
				kindOfErr(t, err, errs.Denied, "built to stand in") // software_root is elsewhere
			} else {
				kindOfErr(t, err, errs.NotFound, "for")
			}
		})
	}
}

// A tree that does not say that it can move goes to its own place, and nowhere else.
func TestAFixedTree(t *testing.T) {
	c := shacache.New(t)
	keys := c.Keys("old")
	root := t.TempDir()
	key := netcache.MD5(software)
	src := filepath.Join(t.TempDir(), key)
	write(t, filepath.Join(src, "x"), "built for "+filepath.Join(root, key), 0o644)
	archive := filepath.Join(t.TempDir(), "a.tgz")
	sh(t, "tar", "-C", filepath.Dir(src), "-czf", archive, key)
	f, err := os.Open(archive)
	must(t, err)
	defer f.Close()
	keys.Ed25519 = ""
	_, err = newClient(t, c.Config(keys, keys), client.Options{}).Upload(t.Context(), f, key, map[string]any{
		"software_url": software, "software_root": root, "multiarch": "x86_64-linux-gnu", "os": []any{"debian", "12", "bookworm"},
	})
	must(t, err)
	n := newClient(t, c.Config(shacache.Keys{}, keys), client.Options{SHA1: true})
	_, err = shared.InstallTree(t.Context(), n, filepath.Join(root, "other"), shared.TreeOptions{URL: software, Host: debian12, Old: true})
	kindOfErr(t, err, errs.Denied, filepath.Join(root, key))
	_, err = shared.InstallTree(t.Context(), n, filepath.Join(root, key), shared.TreeOptions{URL: software, Host: debian12, Old: true})
	must(t, err)
}

// A signed entry of another URL under the key, a broken archive, and an
// archive with another top folder.
func TestPoisonedTrees(t *testing.T) {
	c := shacache.New(t)
	keys := c.Keys("maker")
	maker, root := newClient(t, c.Config(keys, keys), client.Options{}), newTree(t)
	old := software + "?v=0.9"
	_, err := shared.UploadTree(t.Context(), maker, root, shared.TreeOptions{URL: old, Host: debian12})
	must(t, err)
	copyEntries(t, c, netcache.MD5(old), netcache.MD5(software), nil)
	reader := newClient(t, c.Config(shacache.Keys{}, keys), client.Options{})
	dest := filepath.Join(t.TempDir(), "dest")
	_, err = shared.InstallTree(t.Context(), reader, dest, shared.TreeOptions{URL: software, Host: debian12})
	kindOfErr(t, err, errs.Untrusted, "signed for key")

	for name, text := range map[string]string{"no archive": "evil", "wrong folder": ""} {
		url := software + "?" + name[:2]
		file := filepath.Join(t.TempDir(), "a")
		write(t, file, text, 0o644)
		if text == "" {
			sh(t, "tar", "-C", filepath.Dir(root), "-czf", file, filepath.Base(root))
		}
		f, err := os.Open(file)
		must(t, err)
		fields := map[string]any{"software_url": url, "relocatable": true}
		shared.AddKind(fields, debian12)
		_, err = maker.Upload(t.Context(), f, netcache.MD5(url), fields)
		must(t, err)
		f.Close()
		_, err = shared.InstallTree(t.Context(), reader, dest, shared.TreeOptions{URL: url, Host: debian12})
		kindOfErr(t, err, errs.Untrusted, "")
		if left, _ := os.ReadDir(filepath.Dir(dest)); len(left) != 0 {
			t.Errorf("%s: left %v", name, left)
		}
	}
}

// What the maker signed bounds what is unpacked, and what the disk must hold.
func TestATreeOfAnotherSize(t *testing.T) {
	c := shacache.New(t)
	keys := c.Keys("maker")
	maker, reader := newClient(t, c.Config(keys, keys), client.Options{}), newClient(t, c.Config(shacache.Keys{}, keys), client.Options{})
	for name, test := range map[string]struct {
		fields map[string]any
		kind   errs.Kind
		want   string
	}{
		"as it is":      {map[string]any{"entries": int64(3), "unpacked_size": int64(5)}, 0, ""},
		"more files":    {map[string]any{"entries": int64(2), "unpacked_size": int64(5)}, errs.Untrusted, "2"},
		"more bytes":    {map[string]any{"entries": int64(3), "unpacked_size": int64(4)}, errs.Untrusted, "4"},
		"than the disk": {map[string]any{"entries": int64(3), "unpacked_size": int64(1 << 60)}, errs.Unavailable, "free"},
	} {
		url := software + "?" + url.QueryEscape(name)
		key, dir := netcache.MD5(url), t.TempDir()
		write(t, filepath.Join(dir, key, "bin", "hello"), "hello", 0o755)
		file := filepath.Join(dir, "a")
		sh(t, "tar", "-C", dir, "-czf", file, key)
		f, err := os.Open(file)
		must(t, err)
		test.fields["software_url"], test.fields["relocatable"] = url, true
		shared.AddKind(test.fields, debian12)
		_, err = maker.Upload(t.Context(), f, key, test.fields)
		must(t, err)
		f.Close()
		dest := filepath.Join(t.TempDir(), "dest")
		_, err = shared.InstallTree(t.Context(), reader, dest, shared.TreeOptions{URL: url, Host: debian12})
		if test.want == "" {
			must(t, err)
			continue
		}
		kindOfErr(t, err, test.kind, test.want)
		if left, _ := os.ReadDir(filepath.Dir(dest)); len(left) != 0 {
			t.Errorf("%s: left %v", name, left)
		}
	}
}
