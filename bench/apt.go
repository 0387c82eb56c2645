package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"overland/internal/ecosystem/apt"
	"overland/internal/lockfile"
)

// The packages that apt fetches, of the machine's own release of Debian.
const (
	debProject = "build-essential git"                                                    // 96 packages, where nothing is installed
	debTools   = "build-essential git cmake python3 autoconf automake libtool pkg-config" // 100 packages, in a fresh root
)

// debs prepares apt-get install --download-only, as on a machine with nothing installed.
func (b *bench) debs(ctx context.Context) (*project, error) {
	dir := filepath.Join(b.dir, "apt-project")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	status := filepath.Join(dir, "status")
	if err := os.WriteFile(status, nil, 0o644); err != nil {
		return nil, err
	}
	p := &project{
		dir: dir,
		script: "apt-get -qq update && apt-get -qq install -y --download-only --no-install-recommends" +
			" -o Dir::State::status=" + status + " " + debProject,
		direct: func(caches string) ([]string, error) { return aptConfig(caches, "") },
		floor:  aptFloor,
	}
	env, err := aptConfig(filepath.Join(dir, "count"), "")
	if err != nil {
		return nil, err
	}
	n, err := output(ctx, dir, env[0]+"; export APT_CONFIG; "+p.script+" && ls count/archives/*.deb | wc -l")
	p.name = "apt-get update + install --download-only, " + n + " packages"
	return p, err
}

// installed prepares apt-get install into a fresh root file system, with all that dpkg does there.
func (b *bench) installed(ctx context.Context) (*project, error) {
	dir := filepath.Join(b.dir, "apt-install")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	sources, err := apt.MachineSources()
	if err != nil {
		return nil, err
	}
	// One archive, as in a fresh root; other sources of this machine's apt
	// are not part of the measurement.
	if _, err := output(ctx, dir, fmt.Sprintf("mmdebstrap --quiet --variant=apt %s fresh.tar %s", sources[0].Suites[0], sources[0].URIs[0])); err != nil {
		return nil, err
	}
	root := filepath.Join(dir, "root")
	p := &project{
		dir: dir,
		script: "apt-get -qq update && DEBIAN_FRONTEND=noninteractive LC_ALL=C apt-get -qq install -y --no-install-recommends" +
			fmt.Sprintf(" -o Dir::State::status=%[1]s/var/lib/dpkg/status -o DPkg::Options::=--root=%[1]s -o Dir::Log=%[2]s/log ", root, dir) + debTools,
		direct: func(caches string) ([]string, error) { return aptConfig(caches, "") },
		floor:  aptFloor,
		clean: func(ctx context.Context) error {
			_, err := output(ctx, dir, "rm -rf root log && mkdir root log && tar -C root -xf fresh.tar")
			return err
		},
	}
	if err := p.clean(ctx); err != nil {
		return nil, err
	}
	env, err := aptConfig(filepath.Join(dir, "count"), "")
	if err != nil {
		return nil, err
	}
	n, err := output(ctx, dir, env[0]+"; export APT_CONFIG; "+strings.Replace(p.script, "install -y", "install -s -y", 1)+" | grep -c ^Inst")
	p.name = "apt-get update + install, " + n + " packages"
	return p, err
}

// aptFloor returns the environment of an apt that copies what the recording in home holds.
func aptFloor(_, empty, home string) ([]string, error) {
	dir := filepath.Dir(home)
	sources, err := mirror(filepath.Join(dir, "overland.lock"), home, filepath.Join(dir, "mirror"), "copy:")
	if err != nil {
		return nil, err
	}
	return aptConfig(empty, only(sources))
}

// aptConfig makes empty caches, and returns the environment of an apt that uses them
// and the lines of configuration.
func aptConfig(caches, lines string) ([]string, error) {
	for _, sub := range []string{"lists/partial", "archives/partial"} {
		if err := os.MkdirAll(filepath.Join(caches, sub), 0o755); err != nil {
			return nil, err
		}
	}
	text := fmt.Sprintf("Dir::State::lists %q; Dir::Cache::archives %q; Dir::Cache::pkgcache \"\"; Dir::Cache::srcpkgcache \"\";\n"+
		"APT::Sandbox::User \"root\";\n%s\n", filepath.Join(caches, "lists"), filepath.Join(caches, "archives"), lines)
	file := filepath.Join(caches, "apt.conf")
	return []string{"APT_CONFIG=" + file}, os.WriteFile(file, []byte(text), 0o644)
}

// only returns the lines of configuration of an apt that has no other
// sources than the file sources.
func only(sources string) string {
	return fmt.Sprintf("Dir::Etc::sourcelist %q; Dir::Etc::sourceparts \"/dev/null\";", sources)
}

// mirror lays the archives of a recording out as files below dir, and returns a sources list for
// them. base is where they are served from; "copy:" = as files.
func mirror(lock, home, dir, base string) (string, error) {
	f, err := os.Open(lock)
	if err != nil {
		return "", err
	}
	defer f.Close()
	l, err := lockfile.Parse(f, 0)
	if err != nil {
		return "", err
	}
	var sources strings.Builder
	for _, e := range l.Entries {
		if e.Protocol != "apt" || !e.Exists() {
			continue
		}
		path := filepath.Join(dir, e.Key)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return "", err
		}
		if err := os.Symlink(filepath.Join(home, "depot", "blobs", "sha256", e.Blob.Encoded()), path); err != nil {
			return "", err
		}
		if archive, rest, ok := strings.Cut(e.Key, "/dists/"); ok && strings.HasSuffix(rest, "/InRelease") {
			at := base + "/" + archive
			if base == "copy:" {
				at = base + filepath.Join(dir, archive)
			}
			fmt.Fprintf(&sources, "deb %s %s main\n", at, strings.TrimSuffix(rest, "/InRelease"))
		}
	}
	file := filepath.Join(dir, "mirror.list")
	return file, os.WriteFile(file, []byte(sources.String()), 0o644)
}
