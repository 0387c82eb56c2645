package session_test

import (
	"crypto/sha512"
	"encoding/base64"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"overland/internal/ecosystem/npm"
	"overland/internal/session"
	"overland/internal/testkit/pack"
)

// managers fetches programs from the machine's own registry, by name and version, into dir/NAME.
func managers(t *testing.T, dir string, all map[string]string) {
	t.Helper()
	args := []string{"pack", "--silent", "--pack-destination", dir}
	for name, version := range all {
		args = append(args, name+"@"+version)
	}
	if out, err := exec.CommandContext(t.Context(), "npm", args...).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for name, version := range all {
		to := filepath.Join(dir, filepath.Base(name))
		file := filepath.Join(dir, strings.NewReplacer("@", "", "/", "-").Replace(name)+"-"+version+".tgz")
		if out, err := exec.CommandContext(t.Context(), "sh", "-c", `mkdir -p "$1" && tar xzf "$2" -C "$1" --strip-components=1`, "sh", to, file).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
}

// The package managers of node fetch everything again, whatever the machine's caches hold, and
// leave nothing there; they come through the recorder, and write no address of ours into a lock.
func TestNodePackageManagersAreRecordedWhole(t *testing.T) {
	const base = "https://registry.invalid/repository/team"
	programs, home, work := t.TempDir(), t.TempDir(), t.TempDir()
	managers(t, programs, map[string]string{"pnpm": "10.34.9", "yarn": "1.22.22", "@yarnpkg/cli-dist": "4.18.1", "corepack": "0.34.6"})
	yarn, err := os.ReadFile(filepath.Join(programs, "yarn-1.22.22.tgz"))
	if err != nil {
		t.Fatal(err)
	}
	sum := sha512.Sum512(yarn)
	pages := map[string]string{
		"/repository/team/yarn/-/yarn-1.22.22.tgz": string(yarn),
		"/repository/team/yarn/1.22.22": `{"name":"yarn","version":"1.22.22","dist":{"tarball":"` + base + `/yarn/-/yarn-1.22.22.tgz","integrity":"sha512-` +
			base64.StdEncoding.EncodeToString(sum[:]) + `"}}`,
	}
	want, project := "", map[string]string{}
	for _, name := range []string{"pnpm", "yarn1", "yarn4"} { // each with a package of its own
		document, file := pack.NPM(base, "for-"+name, "1.0.0", "module.exports = '"+name+"'\n")
		pages["/repository/team/for-"+name], pages["/repository/team/for-"+name+"/-/for-"+name+"-1.0.0.tgz"] = document, string(file)
		project[name+"/package.json"] = `{"name":"p","version":"1.0.0","dependencies":{"for-` + name + `":"^1.0.0"},"packageManager":"yarn@1.22.22"}`
		want += "module.exports = '" + name + "'\n"
	}
	srv := registry(t, pages)
	project["pnpm/package.json"] = strings.Replace(project["pnpm/package.json"], "yarn@1.22.22", "pnpm@10.34.9", 1)
	project["yarn4/package.json"] = strings.Replace(project["yarn4/package.json"], "yarn@1.22.22", "yarn@4.18.1", 1)
	project["yarn4/yarn.lock"] = "" // a project of its own
	project["yarn4/.yarnrc.yml"] = "npmRegistryServer: " + base + "\nnpmMinimalAgeGate: 0\nnodeLinker: node-modules\nhttpsProxy: http://127.0.0.1:9\n"
	files(t, work, project)
	files(t, home, map[string]string{".npmrc": "registry=" + base + "/\n"})
	for name, v := range map[string]string{
		"HOME": home, "COREPACK_HOME": filepath.Join(home, "corepack"), "COREPACK_NPM_REGISTRY": base, "COREPACK_INTEGRITY_KEYS": "0", "YARN_IGNORE_PATH": "1",
		"YARN_ENABLE_IMMUTABLE_INSTALLS": "false", // else yarn writes no lock where CI is set
	} {
		t.Setenv(name, v)
	}
	o, out := newOptions(t, `set -e; cd `+work+`; P=`+programs+`
		(cd pnpm && node $P/pnpm/bin/pnpm.cjs install --silent)
		(cd yarn1 && node $P/corepack/dist/yarn.js install --silent --no-progress)
		(cd yarn4 && node $P/cli-dist/bin/yarn.js install >&2)
		cat */node_modules/for-*/index.js; rm -rf */node_modules`)
	o.Write, o.Read = []string{work}, []string{programs}
	o.Upstream.Transport = trusting(t, srv)
	said := &strings.Builder{}
	o.Stderr = said
	res, err := session.Record(t.Context(), o)
	if err != nil || out.String() != want || len(res.Problems) != 0 {
		t.Fatalf("%v\n%s\n%s\n%v", err, out, said, res)
	}
	for _, key := range []string{"yarn/-/yarn-1.22.22.tgz", "for-pnpm/-/for-pnpm-1.0.0.tgz", "for-yarn1/-/for-yarn1-1.0.0.tgz", "for-yarn4/-/for-yarn4-1.0.0.tgz"} {
		if _, ok := res.Lock.Find(npm.Name, key); !ok {
			t.Errorf("%s is not recorded: %+v", key, res.Lock)
		}
	}
	for _, name := range []string{"corepack", ".cache", ".yarn", ".local"} {
		if _, err := os.Lstat(filepath.Join(home, name)); err == nil {
			t.Errorf("%s of the home was filled", name)
		}
	}
	for _, name := range []string{"pnpm/pnpm-lock.yaml", "yarn1/yarn.lock", "yarn4/yarn.lock"} {
		if b, err := os.ReadFile(filepath.Join(work, name)); err != nil || !strings.Contains(string(b), "for-") || strings.Contains(string(b), "127.0.0.1") {
			t.Errorf("%s: %v\n%s", name, err, b)
		}
	}
	srv.Close()
	out.Reset()
	o.Lock = res.Lock
	res, err = session.Replay(t.Context(), o)
	if err != nil || out.String() != want || len(res.Problems) != 0 {
		t.Errorf("%v\n%s\n%s\n%v", err, out, said, res)
	}
}
