package cli_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"overland/internal/errs"
	"overland/internal/testkit/bins"
	"overland/internal/testkit/machine"
	"overland/internal/testkit/pack"
)

// page is what a page of docs/ takes for granted, and what it asks a person to do between its commands.
type page struct {
	prepare string            // steps that come first: scripts that run in the project's folder, or as the words below say
	before  map[string]string // command → steps that come before it
	words   map[string]string // what the page leaves open → a command that prints what stands for it
	types   map[string]string // command → what a person types at the terminal when it asks
	apt     bool              // apt has an archive, and sources that name it
}

const (
	fingerprint = `overland trust show --json | sed -n 's/.*"fingerprint": "\(.*\)".*/\1/p'`
	newest      = `echo r$(git rev-list --count HEAD).$(git rev-parse --short=12 HEAD)`
	describe    = "cp ../overland.yaml . && git add overland.yaml && git commit -qm described"
	locked      = describe + " && echo 'overland.lock 1' >overland.lock && git add overland.lock && git commit -qm locked"
	next        = "git commit -q --allow-empty -m next && overland release && overland promote wallet@$(" + newest + ")"
	bobAway     = "mv $OVERLAND_HOME/keys/bob.key .."
	bobBack     = "mv ../bob.key $OVERLAND_HOME/keys/"
	onTheNode   = "on the node: " // begins a script that runs there
	serving     = "serve: "       // begins a command that starts a site
	then        = "\n# then\n"    // between two steps
	again       = onTheNode + "sh wallet-2.volume install --root $(cat root) --channel local/wallet"
	example     = `awk '/^\140..yaml/ {n++; next} /^\140/ {if (n) exit} n' $PAGE >overland.yaml` // the first of the page
	registered  = "overland site certificate site --listen 10.0.0.1:8443 >site.pem && mkdir -p $HOME/.docker && " +
		`printf '{"auths":{"10.0.0.1:8443":{"auth":"%s"}}}' $(printf ci:%s $(overland --home site registry add-account ci --push 'staging/**' --push 'live/**') | base64 -w0) >$HOME/.docker/config.json`
	released = locked + " && overland release && overland promote wallet@$(" + newest + ") --to staging"
)

// pages are the pages with commands that run. The project's folder is a repository with a Go package.
var pages = map[string]page{
	"getting-started.md": {
		before: map[string]string{
			// What init wrote, for one platform; a service is what the page asks for.
			"overland seal -o wallet.volume": "sed -i 's/^    platforms: .*arm64.$/    platforms: [linux\\/amd64]/' overland.yaml && " +
				"printf 'services:\\n  wallet: {artifact: wallet, stable: 100ms}\\n' >>overland.yaml && echo 'overland.lock 1' >overland.lock && " +
				"git add overland.yaml overland.lock && git commit -qm described",
			"overland seal -o wallet-2.volume": "echo >more && git add more && git commit -qm more",
			"overland rollback live":           next + " --to live",
		},
		words: map[string]string{
			"r412.0123456789ab": newest, "https://10.0.0.1:8443#sha256:…": "echo $SITE",
			`p=$(head -c 8192 wallet.volume) && if [ … ]; then sh -c "$p" wallet.volume install --root sha256:… --channel local/wallet; else … fi`: "overland seal -o wallet.volume 2>&1 | grep -o 'p=.*'",
		},
	},
	"how-to/install-a-node.md": {
		prepare: "printf 'overland: 1\nname: wallet\nartifacts:\n  wallet:\n    command: {run: [sh, build.sh], output: out/wallet}\n    platforms: [linux/amd64]\n" +
			"services:\n  node: {artifact: wallet, stable: 100ms}\ncommands: {shopctl: wallet}\n' >../overland.yaml && " + locked + " && overland seal -o wallet.volume && " +
			"git commit -q --allow-empty -m more && overland seal -o wallet-2.volume && " + fingerprint + " >root",
		before: map[string]string{
			"overland-agent uninstall --purge": again,
			"overland-agent install --site":    again + then + "overland site init $OVERLAND_HOME" + then + serving + "overland site run $OVERLAND_HOME --listen 10.0.0.1:8443",
			"overland-agent install --volume":  onTheNode + "mkdir -p /media/stick && cp wallet-2.volume /media/stick/wallet.volume",
			"echo 'PATH=":                      onTheNode + "mkdir -p /etc/profile.d",
			"chroot IMAGE":                     onTheNode + "mkdir -p /image/bin /image/tmp /image/etc && cp /bin/busybox /image/bin/ && for a in sh tail head uname mkdir rm cat gzip sha256sum chmod; do ln -s busybox /image/bin/$a; done && cp wallet.volume /image/",
		},
		words: map[string]string{
			"https://10.0.0.1:8443#sha256:PIN": "echo $SITE", "https://10.0.0.2:8443#sha256:PIN": "echo $SITE | sed s/10.0.0.1/10.0.0.2/", "IMAGE": "echo /image",
			"2f3a…": "head -c 8192 wallet.volume | sha256sum | cut -c1-64", "sha256:5b2c…": "cat root",
			"logs wallet.node -f": "echo logs wallet.node", // which goes on for ever
		},
		types: map[string]string{"overland-agent uninstall --purge": "yes"},
	},
	"how-to/approve.md": {
		prepare: "overland trust init && " + released + " && overland promote wallet --from staging --to live && mkdir persons && " +
			next + " --to staging",
		before: map[string]string{
			"overland trust add-signer channel/live alice.pub": "overland key new bob && cp $OVERLAND_HOME/keys/*.pub .",
			"overland promote --from staging --to live":        bobAway, // it is bob who has it
			"overland trust sign channel/live  ":               bobBack,
			"overland trust sign channel/live --yes":           bobAway + "; " + next + " --to live; " + bobBack,
			// Bob's key is elsewhere from the first day, and a change waits for it.
			"overland trust payload": bobAway + " && sed s/OVERLAND.// ../bob.key >bob.pem && cp $OVERLAND_HOME/keys/bob.pub . && " + next + " --to live; true",
		},
		words: map[string]string{"sha256:276a8e…": "overland trust show | sed -n 's/^  digest  *//p' | head -1"},
		types: map[string]string{
			"overland trust sign channel/live  ":    "y",
			"overland trust add-signature":          "y",
			"overland rollback live wallet --alone": "y",
		},
	},
	"format/volume.md": {
		prepare: locked + " && overland seal -o FILE",
		words:   map[string]string{"DIR:NAME": "echo DIR:wallet@$(" + newest + ")"},
	},
	"how-to/cache.md": {prepare: "overland site init site"},
	"how-to/registry.md": {
		prepare: "overland site init site",
		before: map[string]string{
			"skopeo copy": serving + "overland site run site --listen 10.0.0.1:8443" + then + "overland --home site registry remove-account ci && " + registered + then +
				describe + ` && printf 'overland: 1\nname: wallet\nartifacts:\n  wallet: {image: {files: {/srv/main: ./main.go}}}\n' >overland.yaml && git add overland.yaml && git commit -qm image && ` +
				"overland build --out oci:layout && SSL_CERT_FILE=site.pem skopeo --insecure-policy copy -q --all oci:layout:wallet:$(" + newest + ") docker://10.0.0.1:8443/staging/wallet:r412",
		},
		words: map[string]string{"skopeo copy docker": "echo SSL_CERT_FILE=site.pem skopeo --insecure-policy copy docker"}, // and not in /etc
	},
	"how-to/command.md":  {prepare: describe},
	"how-to/pipeline.md": {prepare: example + ` && echo 'mkdir out && echo "#!/bin/sh" >out/teahouse && chmod +x out/teahouse' >build.sh && echo 'overland.lock 1' >overland.lock && git add -A && git commit -qm described`},
	"how-to/image.md": {
		prepare: `printf 'overland: 1\nname: wallet\nartifacts:\n  wallet-image: {image: {files: {/srv/main: ./main.go}}}\n' >overland.yaml` +
			" && git add overland.yaml && git commit -qm image && overland trust init",
		before: map[string]string{
			"overland image push": "overland site init site" + then + serving + "overland site run site --listen 10.0.0.1:8443" + then + registered,
			"overland build --arg": `printf 'overland: 1\nname: wallet\nartifacts:\n  root: {command: {run: [sh, root.sh], output: root.tar}}\n  other: {command: {run: [sh, root.sh], output: root.tar}}\n  wallet: {command: {run: [sh, build.sh], output: out/wallet}}\n' >overland.yaml && ` +
				`awk '/^\140..yaml/ {n++; next} /^\140/ {if (n == 2) exit} n == 2' $PAGE >>overland.yaml && mkdir deploy && touch deploy/main.conf deploy/test.conf && ` +
				`echo 'mkdir etc && echo ID=debian >etc/os-release && tar --sort=name --mtime=@0 --owner=0 --group=0 -cf root.tar etc' >root.sh && echo 'overland.lock 1' >overland.lock && git add overland.yaml overland.lock root.sh deploy && git commit -qm based`,
		},
		words: map[string]string{"wallet@r412.abcdef012345": "echo wallet@$(" + newest + ")"},
	},
	"how-to/package.md": {
		prepare: `printf 'overland: 1\nname: wallet\nartifacts:\n  wallet-deb: {package: {format: deb, maintainer: A <a@localhost>, description: a wallet, files: {/srv/main: ./main.go}}}\n' >overland.yaml` +
			" && git add overland.yaml && git commit -qm package && overland trust init && overland release && overland promote wallet@$(" + newest + ") --to live",
	},
	"how-to/binary-cache.md": {
		prepare: locked + " && mkdir -p etc hello/bin && printf '#!/bin/sh\n' >hello/bin/hello && overland site init site && overland site init maker && " +
			`mkdir -p site/netcache && printf '{"accounts":[{"name":"builder","certificate":"%s"}]}' "$(awk '{printf "%s\\n", $0}' maker/tls/cert.pem)" >site/netcache/policy.json && ` +
			"overland site certificate site --listen 10.0.0.1:8443 >etc/site.pem && cp maker/tls/cert.pem etc/client.pem && cp maker/tls/key.pem etc/client.key && " +
			// Both of the page's files in one: this machine builds, and reads.
			"{ awk '/^\140..ini/ {n=1; next} /^\140/ {n=0} n' $PAGE | awk '!/networkcache.$/ || !n++' | sed -e '/PUBLIC KEY/d' -e '/…/d' -e \"s|/etc/overland|$PWD/etc|\"; " +
			"overland netcache generate-signature-key --ed25519 etc/sign.key builder | sed 's/^/  /'; } >networkcache.cfg" + then +
			serving + "overland site run site --listen 10.0.0.1:8443 --cache-listen 10.0.0.1:3142 --cache-upstream npm=http://127.0.0.1:1",
		words: map[string]string{"/opt/build/": "echo $PWD/", "/srv/": "echo $PWD/installed-"},
	},
	"how-to/rootfs.md": {
		apt:     true,
		prepare: example + " && git add overland.yaml && git commit -qm root",
	},
	"how-to/rebuild-offline.md": {
		prepare: describe,
		words:   map[string]string{"FINGERPRINT": fingerprint, "/srv/": `echo "$HOME/"`},
	},
	"how-to/record.md": {
		apt:     true,
		prepare: "git mv main.go wallet.go && echo 'package wallet' >wallet.go && git commit -qam library", // which takes no compiled runtime
		before:  map[string]string{"overland record -- overland build": "git reset -q && rm overland.lock && " + describe},
	},
	"how-to/proximity.md": {words: map[string]string{
		"#sha256:…":       "echo '#sha256:" + strings.Repeat("0", 64) + "'",
		"--root sha256:…": "echo --root sha256:" + strings.Repeat("0", 64),
	}},
}

// block is a fenced block of a page.
type block struct {
	line   int // of its first line
	lang   string
	why    string // it does not run here; "" = it does
	node   bool   // it runs on the node, a machine that has nothing but a shell
	same   bool   // of text: the last command before it has printed this, but for digests, versions, numbers and times
	script string
}

var notRun = regexp.MustCompile(`^<!-- not run: (.+) -->$`)

const (
	onANode = "<!-- on a node -->"
	printed = "<!-- printed -->"
)

// blocks returns the blocks of a page.
func blocks(text string) (list []block) {
	var in *block
	before := ""
	for i, line := range strings.Split(text, "\n") {
		fence, isFence := strings.CutPrefix(strings.TrimSpace(line), "```")
		switch {
		case isFence && in == nil:
			in = &block{line: i + 2, lang: fence}
			if m := notRun.FindStringSubmatch(before); m != nil {
				in.why = m[1]
			}
			in.node, in.same = before == onANode, before == printed
		case isFence:
			list, in = append(list, *in), nil
		case in != nil:
			in.script += line + "\n"
		}
		before = line
	}
	return list
}

// TestDocs runs the commands of the pages as they are printed, each page on a machine of its own as far as
// that goes here: a home, a project, and the addresses that the pages use. Every block says by its
// language what it is; commands that cannot run here have a line "not run: WHY" above them.
func TestDocs(t *testing.T) {
	docs := filepath.Join("..", "..", "docs")
	ran := map[string]bool{}
	walk := func(path string, d fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".md" || filepath.Base(filepath.Dir(path)) == "decisions" || filepath.Base(filepath.Dir(path)) == "reference" {
			return err // reference/ is generated, and TestExamples runs its examples
		}
		name, _ := filepath.Rel(docs, path)
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		var run []block
		for _, b := range blocks(string(text)) {
			switch {
			case b.lang == "" || slices.Contains([]string{"bash", "console", "shell"}, b.lang):
				t.Errorf("docs/%s:%d: a block of language %q: sh for commands, text for what is printed", name, b.line, b.lang)
			case b.lang == "sh" && b.why == "" || b.same:
				run = append(run, b)
			}
		}
		if len(run) > 0 {
			ran[name] = true
			t.Run(strings.ReplaceAll(name, "/", "-"), func(t *testing.T) { runPage(t, name, run) })
		}
		return nil
	}
	if err := errors.Join(filepath.WalkDir(docs, walk), filepath.WalkDir(filepath.Join(docs, "..", "README.md"), walk)); err != nil {
		t.Fatal(err)
	}
	for name := range pages {
		if !ran[name] {
			t.Errorf("docs/%s has no commands that run", name)
		}
	}
}

// reader is the machine of a page.
type reader struct {
	*testing.T
	dir string
	env []string
	net string // its network namespace
	end func() // ends the site that serves

	etcApt string // its /etc/apt; "" = this machine's
	page   page
	node   *machine.Machine // where it installs; nil until then
	onNode bool             // the commands run there
	said   string           // what the last command printed
}

func runPage(t *testing.T, name string, run []block) {
	p := pages[name]
	r := newReader(t, slices.ContainsFunc(run, func(b block) bool { return b.node }))
	r.page = p
	pages, err := filepath.Abs(filepath.Join("..", "..", "docs"))
	if err != nil {
		t.Fatal(err)
	}
	r.env = append(r.env, "PAGE="+filepath.Join(pages, name))
	if p.apt {
		r.archive()
	}
	used := map[string]bool{}
	if p.prepare != "" {
		r.steps(name, p.prepare)
	}
	for _, b := range run {
		at := b.line
		if b.same {
			r.same(fmt.Sprintf("docs/%s:%d", name, at), b.script)
			continue
		}
		for _, command := range commands(b.script) {
			for begins, script := range p.before {
				if strings.HasPrefix(command, begins) {
					used[begins] = true
					r.steps(name, script)
				}
			}
			r.onNode = false
			for word, says := range p.words {
				if strings.Contains(command, word) {
					command = strings.ReplaceAll(command, word, strings.TrimSpace(r.sh(0, says)))
				}
			}
			r.onNode = b.node
			for begins := range p.types {
				used[begins] = used[begins] || strings.HasPrefix(command, begins)
			}
			r.at(fmt.Sprintf("docs/%s:%d", name, at), command)
			at += strings.Count(command, "\n") + 1
			if t.Failed() {
				return
			}
		}
	}
	for begins := range merged(p.before, p.types) {
		if !used[begins] {
			t.Errorf("docs/%s has no command %q any more", name, begins)
		}
	}
}

func merged(a, b map[string]string) map[string]string {
	m := maps.Clone(b)
	if m == nil {
		m = map[string]string{}
	}
	maps.Copy(m, a)
	return m
}

// varying matches what is different in each run.
var varying = regexp.MustCompile(`sha256:[0-9a-f]+…?|\b[0-9a-f]{12,40}\b…?|\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d)?Z?|\d+| +`)

// same compares text of a page with what was printed: its lines must be there, in their order. What is
// typed after a question is on its line.
func (r *reader) same(where, text string) {
	r.Helper()
	said := strings.Split(varying.ReplaceAllString(r.said, "·"), "\n")
	for line := range strings.Lines(text) {
		line = varying.ReplaceAllString(strings.TrimRight(line, "\n"), "·")
		i := slices.IndexFunc(said, func(s string) bool {
			return strings.TrimRight(s, "\r") == line || strings.HasSuffix(line, "[y/N]") && strings.HasPrefix(s, line)
		})
		if i < 0 {
			r.Errorf("%s: not printed, or not there: %q\nin: %s", where, line, r.said)
			return
		}
		said = said[i+1:]
	}
}

// commands returns the commands of a script: its lines, with those that a backslash continues.
func commands(script string) (list []string) {
	for _, line := range strings.Split(strings.TrimSpace(script), "\n") {
		if n := len(list); n > 0 && strings.HasSuffix(list[n-1], "\\") {
			list[n-1] += "\n" + line
		} else if line != "" {
			list = append(list, line)
		}
	}
	return list
}

func newReader(t *testing.T, installs bool) *reader {
	t.Helper()
	dir := t.TempDir()
	r := &reader{T: t, dir: filepath.Join(dir, "wallet")}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	bin := filepath.Join(shared, "bin")
	if _, err := os.Stat(bin); err != nil {
		if err := os.Mkdir(bin, 0o755); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.CommandContext(t.Context(), "cp", self, filepath.Join(bin, "overland")).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	for name, text := range map[string]string{
		"home/.gitconfig":                   "[user]\n\tname = t\n\temail = t@example.org\n",
		"agents/linux-amd64/overland-agent": "#!/bin/sh\n",
		"wallet/go.mod":                     "module example.org/wallet\n\ngo 1.26.0\n\ntoolchain go1.26.8\n",
		"wallet/main.go":                    "package main\n\nimport \"time\"\n\nfunc main() { time.Sleep(1e15) }\n",
		"wallet/build.sh":                   "mkdir -p out && printf '#!/bin/sh\\n[ \"$1\" != --version ] || exec echo one\\nexec sleep 10000\\n' >out/wallet && chmod +x out/wallet\n",
		"overland.yaml": "overland: 1\nname: wallet\nartifacts:\n  wallet:\n    command: {run: [sh, build.sh], output: out/wallet}\n" +
			"    platforms: [linux/amd64]\nservices:\n  wallet:\n    artifact: wallet\n    runtime: process\n    stable: 100ms\n",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if installs { // then the agent is one
		b := bins.Builder{Dir: filepath.Join(shared, "bins")}
		agents, err := b.Agents(t.Context(), "", "linux/amd64")
		if err == nil {
			err = errors.Join(os.RemoveAll(filepath.Join(dir, "agents")), os.Symlink(agents, filepath.Join(dir, "agents")))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	home := filepath.Join(dir, "home")
	r.env = append(os.Environ(),
		"HOME="+home, "OVERLAND_HOME="+filepath.Join(home, ".local", "share", "overland"), "OVERLAND_AGENTS="+filepath.Join(dir, "agents"),
		"OVERLAND_COMPILED="+compiled(), "PATH="+bin+":"+os.Getenv("PATH"), "GOMODCACHE="+goEnv(t, "GOMODCACHE"),
	)
	r.sh(0, "git init -q -b main && git add -A && git commit -qm first")
	return r
}

// at runs a command of a page. It ends with the code that its comment says ("# exit code 3: …"), else
// with 0; one that serves goes on until the page ends.
func (r *reader) at(where, command string) {
	r.Helper()
	want := 0
	if m := regexp.MustCompile(`# exit code (\d+)`).FindStringSubmatch(command); m != nil {
		want, _ = strconv.Atoi(m[1])
	}
	if strings.HasPrefix(command, "overland trust doctor") {
		want = errs.Partial.Exit() // the keys of a test are in the clear
	}
	r.Log(where, "$", command)
	switch {
	case strings.Contains(command, "overland site run "):
		r.serve(where, command)
		return
	case strings.Contains(command, " --foreground"):
		r.first(where, command)
		return
	}
	code, said := r.run(command)
	r.said = said
	if code != want {
		r.Errorf("%s: %s\nexit code %d, want %d: %s", where, command, code, want, said)
	}
}

// archive serves a Debian archive of the packages that the pages name, and makes its sources apt's.
func (r *reader) archive() {
	r.Helper()
	key, files := pack.OpenPGP(pack.DebianBirth), map[string][]byte{}
	for suite, at := range map[string]string{"trixie": "debian/", "trixie-updates": "debian/", "trixie-security": "debian-security/"} {
		lists := map[string][]byte{}
		for _, arch := range []string{"amd64", "armhf", "arm64"} {
			index := ""
			for _, name := range []string{"base-files", "base-passwd", "libc6", "busybox", "ca-certificates", "hello"} {
				if suite != "trixie" {
					continue
				}
				control := fmt.Sprintf("Package: %s\nVersion: 1\nArchitecture: %s\nMaintainer: archive\nDescription: %[1]s", name, arch)
				entries := []pack.DebEntry{{Name: "./usr/share/doc/" + name + "/copyright", Text: name}}
				switch name {
				case "base-files":
					entries = append(entries, pack.DebEntry{Name: "./usr/lib/os-release", Text: "ID=debian\n"})
				case "base-passwd":
					entries = append(entries, pack.DebEntry{Name: "./usr/share/base-passwd/passwd.master", Text: "root:*:0:0::/root:/bin/sh\n"},
						pack.DebEntry{Name: "./usr/share/base-passwd/group.master", Text: "root:*:0:\n"})
				}
				b := pack.Deb(map[string]string{"control": control + "\n"}, entries...)
				rel := fmt.Sprintf("pool/%s_1_%s.deb", name, arch)
				files[at+rel], index = b, index+pack.DebStanza(control, rel, b)+"\n"
			}
			rel := "main/binary-" + arch + "/Packages"
			lists[rel] = []byte(index)
			files[at+"dists/"+suite+"/"+rel] = lists[rel]
		}
		files[at+"dists/"+suite+"/InRelease"] = pack.DebianRelease(key, suite, lists)
	}
	l, err := new(net.ListenConfig).Listen(r.Context(), "tcp", "127.0.0.2:0") // 127.0.0.1 is the command's own
	if err != nil {
		r.Fatal(err)
	}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		b, ok := files[strings.TrimPrefix(q.URL.Path, "/")]
		if !ok {
			w.WriteHeader(http.StatusNotFound)
		}
		_, _ = w.Write(b)
	}))
	s.Listener.Close()
	s.Listener = l
	s.Start()
	r.Cleanup(s.Close)
	r.etcApt = filepath.Join(r.dir, "..", "apt")
	if err := os.Mkdir(r.etcApt, 0o755); err != nil {
		r.Fatal(err)
	}
	for name, text := range map[string]string{
		"key.asc":      pack.Armour(key),
		"sources.list": fmt.Sprintf("deb [signed-by=/etc/apt/key.asc] %[1]s/debian trixie main\ndeb [signed-by=/etc/apt/key.asc] %[1]s/debian-security trixie-security main\n", s.URL),
	} {
		if err := os.WriteFile(filepath.Join(r.etcApt, name), []byte(text), 0o644); err != nil {
			r.Fatal(err)
		}
	}
}

// steps does what the test itself does between the commands of a page.
func (r *reader) steps(where, steps string) {
	r.Helper()
	for step := range strings.SplitSeq(steps, then) {
		if site, ok := strings.CutPrefix(step, serving); ok {
			r.serve(where, site)
			continue
		}
		step, r.onNode = strings.CutPrefix(step, onTheNode)
		r.sh(0, step)
		r.onNode = false
	}
}

// sh runs a script of the test itself, and returns what it prints.
func (r *reader) sh(want int, script string) string {
	r.Helper()
	code, said := r.run(script)
	if code != want {
		r.Fatalf("%s\nexit code %d: %s", script, code, said)
	}
	return said
}

func (r *reader) run(script string) (code int, said string) {
	r.Helper()
	cmd := r.command(r.Context(), script)
	for begins, answer := range r.page.types {
		if strings.HasPrefix(script, begins) { // a person at a terminal: bsdutils has one
			var quoted []string
			for _, arg := range cmd.Args {
				quoted = append(quoted, "'"+strings.ReplaceAll(arg, "'", `'\''`)+"'")
			}
			asked := exec.CommandContext(r.Context(), "script", "-qec", strings.Join(quoted, " "), "/dev/null")
			asked.Dir, asked.Env, asked.Stdin = cmd.Dir, cmd.Env, strings.NewReader(answer+"\n")
			cmd = asked
		}
	}
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		r.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), string(out)
}

func (r *reader) command(ctx context.Context, script string) *exec.Cmd {
	if r.onNode {
		return r.machine().Command(ctx, "sh", "-c", "cd /mnt && "+script)
	}
	argv := []string{"sh", "-c", script}
	if r.etcApt != "" {
		argv = append([]string{"unshare", "--mount", "sh", "-c", `mount --bind "$0" /etc/apt && exec "$@"`, r.etcApt}, argv...)
	}
	if r.net != "" {
		argv = append([]string{"nsenter", "--net=" + r.net}, argv...)
	}
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir, cmd.Env = r.dir, r.env
	return cmd
}

// machine returns the node, which has a shell, no network, and the project's folder at /mnt.
func (r *reader) machine() *machine.Machine {
	r.Helper()
	if r.node == nil {
		m, err := machine.Start(r.Context(), machine.Options{Name: "node", Root: machine.Busybox, Binds: map[string]string{r.dir: "/mnt"}, Output: r.Output()})
		if err != nil {
			r.Fatal(err)
		}
		r.Cleanup(m.Stop)
		r.node = m
		r.connect()
	}
	return r.node
}

// first starts a container whose process 1 is command, waits until its services are up, and ends it.
func (r *reader) first(where, command string) {
	r.Helper()
	m, err := machine.Start(r.Context(), machine.Options{
		Name: "container", Root: machine.Busybox, Binds: map[string]string{r.dir: "/mnt"}, Output: r.Output(),
		First: []string{"sh", "-c", "cd /mnt && exec " + command},
	})
	if err != nil {
		r.Fatal(err)
	}
	defer m.Stop()
	for {
		said, err := m.Run(r.Context(), "overland-agent", "status")
		if err == nil {
			break
		}
		select {
		case <-m.Done():
			r.Fatalf("%s: %s\nit ended: %s", where, command, said)
		case <-r.Context().Done():
			r.Fatalf("%s: %s\nits services are not up: %s", where, command, said)
		default:
		}
	}
	if err := m.Signal(syscall.SIGTERM); err != nil {
		r.Fatal(err)
	}
	<-m.Done()
}

// connect lays a cable between the network of the site and the node, when both are there.
func (r *reader) connect() {
	r.Helper()
	if r.net == "" || r.node == nil {
		return
	}
	r.sh(0, fmt.Sprintf("ip link add node type veth peer name site netns %d && ip link set node up && ip route add 10.9.0.2 dev node", r.node.PID()))
	if out, err := r.node.Run(r.Context(), "sh", "-c", "ip link set site up && ip addr add 10.9.0.2/32 dev site && ip route add 10.0.0.0/8 dev site"); err != nil {
		r.Fatalf("%v: %s", err, out)
	}
}

// serve starts a site where the addresses of the pages are its own, and waits until it says where it
// is: $SITE for the scripts that follow.
func (r *reader) serve(where, command string) {
	r.Helper()
	if r.net == "" {
		hold := exec.Command("unshare", "--net", "sh", "-c", "ip link set lo up; for a in 10.0.0.1 10.1.0.1; do ip addr add $a/32 dev lo; done; echo; exec sleep 1000")
		out, err := hold.StdoutPipe()
		if err != nil {
			r.Fatal(err)
		}
		if err := hold.Start(); err != nil {
			r.Fatal(err)
		}
		r.Cleanup(func() { _ = hold.Process.Kill(); _ = hold.Wait() })
		if _, err := out.Read(make([]byte, 1)); err != nil {
			r.Fatal(err)
		}
		r.net = fmt.Sprintf("/proc/%d/ns/net", hold.Process.Pid)
		r.connect()
	}
	if r.end != nil {
		r.end()
	}
	ctx, stop := context.WithCancel(r.Context())
	cmd := r.command(ctx, "exec "+command)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = time.Minute
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.StdoutPipe()
	if err != nil {
		r.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		r.Fatal(err)
	}
	line, _ := bufio.NewReader(out).ReadString('\n')
	r.env = append(r.env, "SITE="+strings.TrimSpace(line))
	r.end = sync.OnceFunc(func() { stop(); _ = cmd.Wait() })
	r.Cleanup(r.end)
	if !strings.HasPrefix(line, "https://") {
		r.end()
		r.Errorf("%s: %s\nit ended: %s", where, command, &said)
	}
}
