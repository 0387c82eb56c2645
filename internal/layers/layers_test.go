package layers

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "overland/"

// floors lists every package of the house by its path below internal/, with its floor: one package
// a line, so that two changes do not collide. A package may import those of lower floors, and of
// its own room: the packages whose path begins with the same name.
var floors = map[string]int{
	"admission":                 0,
	"archive":                   0,
	"archive/xz":                0,
	"clock":                     0,
	"deflate":                   0,
	"zstd":                      0,
	"digest":                    0,
	"environ":                   0,
	"errs":                      0,
	"flight":                    0,
	"fsx":                       0,
	"health":                    0,
	"httpx":                     0,
	"logfile":                   0,
	"platform":                  0,
	"platform/sysinfo":          0,
	"printer":                   0,
	"procfs":                    0,
	"procgroup":                 0,
	"progress":                  0,
	"alpine":                    1,
	"alpine/resolve":            1,
	"confine":                   1,
	"confine/border":            1,
	"confine/cell":              1,
	"confine/filter":            1,
	"appfile":                   1,
	"appfile/yamlfile":          1,
	"appfile/yamlfile/yamltest": 1,
	"db":                        1,
	"db/dbtest":                 1,
	"db/sqlite":                 1,
	"deb":                       1,
	"deb/resolve":               1,
	"deb/maintscript":           1,
	"home":                      1,
	"nodeapi":                   1,
	"source":                    1,
	"store":                     1,
	"store/dir":                 1,
	"store/mem":                 1,
	"store/storetest":           1,
	"trust":                     1,
	"trust/client":              1,
	"trust/conformance":         1,
	"trust/doctor":              1,
	"trust/keys":                1,
	"trust/mirror":              1,
	"trust/repository":          1,
	"trust/trusttest":           1,
	"fetch":                     2,
	"lockfile":                  2,
	"origin":                    2,
	"image":                     2,
	"image/flat":                2,
	"volume":                    2,
	"auth":                      3,
	"ecosystem":                 3,
	"ecosystem/apk":             3,
	"ecosystem/apt":             3,
	"ecosystem/cargo":           3,
	"ecosystem/golang":          3,
	"ecosystem/jsonedit":        3,
	"ecosystem/npm":             3,
	"ecosystem/oci":             3,
	"ecosystem/plain":           3,
	"ecosystem/pypi":            3,
	"ecosystem/tool":            3,
	"record":                    3,
	"release":                   3,
	"release/inspect":           3,
	"runtime":                   3,
	"runtime/process":           3,
	"runtime/runtimetest":       3,
	"cache":                     4,
	"cache/cachetest":           4,
	"mirror":                    4,
	"netcache":                  4,
	"netcache/client":           4,
	"netcache/server":           4,
	"registry":                  4,
	"sbom":                      4,
	"provenance":                4,
	"registry/client":           4,
	"session":                   4,
	"builder":                   5,
	"builder/command":           5,
	"builder/image":             5,
	"builder/packages":          5,
	"builder/placed":            5,
	"builder/rootfs":            5,
	"builder/golang":            5,
	"builder/shared":            5,
	"builder/tree":              5,
	"agent":                     6,
	"agent/control":             6,
	"agent/follow":              6,
	"agent/host":                6,
	"agent/node":                6,
	"agent/stage":               6,
	"agent/switchover":          6,
	"operator":                  6,
	"operator/agents":           6,
	"operator/approval":         6,
	"operator/changes":          6,
	"operator/holdings":         6,
	"operator/sealing":          6,
	"pipeline":                  7,
	"server/cache":              8,
	"server/netcache":           8,
	"server/registry":           8,
	"server/node":               8,
	"site":                      9,
	"cli":                       10,
	"cli/gen":                   10,
	"cli/binary":                10,
	"cli/cache":                 10,
	"cli/channel":               10,
	"cli/image":                 10,
	"cli/packages":              10,
	"cli/key":                   10,
	"cli/netcache":              10,
	"cli/registry":              10,
	"cli/pipeline":              10,
	"cli/record":                10,
	"cli/release":               10,
	"cli/site":                  10,
	"cli/sitedir":               10,
	"cli/term":                  10,
	"cli/trust":                 10,
	"cli/verb":                  10,
	"cli/verb/verbtest":         10,
	"cli/volume":                10,
	"cli/nodecli":               10,
}

// outside lists the packages that stand on no floor: programs, and what only tests
// and measurements use. They may import any floor; no package of a floor imports
// them, but for its tests the testkit.
var outside = []string{
	"bench",
	"cmd/overland",
	"cmd/overland-agent",
	"demo",
	"demo/proof",
	"internal/layers",
	"internal/testkit/again",
	"internal/testkit/attack",
	"internal/testkit/badlink",
	"internal/testkit/bins",
	"internal/testkit/crash",
	"internal/testkit/engines",
	"internal/testkit/fuzz",
	"internal/testkit/hello",
	"internal/testkit/machine",
	"internal/testkit/pack",
	"internal/testkit/publisher",
	"internal/testkit/recording",
	"internal/testkit/shacache",
	"internal/testkit/vm",
	"signature", // what go-tuf verifies with: decision 0025
}

// neighbours are the pairs of rooms on one floor of which the first may
// import the second, with the reason.
var neighbours = map[[2]string]string{
	{"platform", "fsx"}:     "a file of the machine is read within a limit, which has one place",
	{"fsx", "errs"}:         "a full disk is told in one place, with its kind and its hint",
	{"ecosystem", "record"}: "an ecosystem answers in the recorder's words",
	{"mirror", "cache"}:     "a cache asks what an upstream site has in the cache's words",
	{"appfile", "confine"}:  "the names of capabilities have one place",
	{"progress", "printer"}: "what a task is called may be somebody else's words",
	{"httpx", "errs"}:       "an error becomes a status and a body, and a status an error, in one place",
}

// pkg is what go list says of a package; paths of this module are without its name.
type pkg struct {
	ImportPath                         string
	Imports, TestImports, XTestImports []string
}

func (p pkg) name() string { return strings.TrimPrefix(p.ImportPath, module) }

// table returns the floor of each package by its path in the module; -1 is outside.
func table(floors map[string]int, outside []string) map[string]int {
	t := map[string]int{}
	for name, floor := range floors {
		t["internal/"+name] = floor
	}
	for _, name := range outside {
		t[name] = -1
	}
	return t
}

func room(name string) string {
	first, _, _ := strings.Cut(strings.TrimPrefix(name, "internal/"), "/")
	return first
}

// violations returns what is wrong with packages, in words.
func violations(packages []pkg, floorOf map[string]int) []string {
	var wrong []string
	seen := map[string]bool{}
	for _, p := range packages {
		seen[p.name()] = true
		if _, ok := floorOf[p.name()]; !ok {
			wrong = append(wrong, p.name()+" is on no floor: add it to the table in internal/layers/layers_test.go")
			continue
		}
		for _, to := range p.Imports {
			wrong = append(wrong, judge(p.name(), to, false, floorOf)...)
		}
		for _, to := range slices.Concat(p.TestImports, p.XTestImports) {
			wrong = append(wrong, judge(p.name(), to, true, floorOf)...)
		}
	}
	for name := range floorOf {
		if !seen[name] {
			wrong = append(wrong, name+" is in the table but not in the module")
		}
	}
	slices.Sort(wrong)
	return slices.Compact(wrong)
}

// judge returns why the package from may not import to; nothing when it may.
func judge(from, to string, test bool, floorOf map[string]int) []string {
	to, ours := strings.CutPrefix(to, module)
	floor, listed := floorOf[to]
	own := floorOf[from]
	where := ""
	if test {
		where = " in a test"
	}
	switch kit := strings.HasPrefix(to, "internal/testkit/"); {
	case !ours, own < 0:
		return nil
	case kit && test:
		return nil
	case !listed:
		return []string{fmt.Sprintf("%s imports %s, which is on no floor", from, to)}
	case floor < 0:
		return []string{fmt.Sprintf("%s imports %s%s, which stands outside of the house", from, to, where)}
	case floor > own:
		return []string{fmt.Sprintf("%s (floor %d) imports %s (floor %d)%s: imports point down", from, own, to, floor, where)}
	case floor == own && room(from) != room(to) && neighbours[[2]string{room(from), room(to)}] == "":
		return []string{fmt.Sprintf("%s imports %s%s: rooms on one floor do not know each other", from, to, where)}
	}
	return nil
}

func TestFloors(t *testing.T) {
	for _, system := range []string{"linux", "darwin"} {
		for _, v := range violations(list(t, system), table(floors, outside)) {
			t.Errorf("%s: %s", system, v)
		}
	}
}

// The agent must cross a 4 KB/s link and idle in 16 MiB: what it may never
// carry, with all that is below each.
var tooHeavy = []string{
	"text/template", "html/template", "net/http/pprof", "expvar", "testing", "encoding/gob", "encoding/xml", "go", "database/sql",
	"github.com/spf13/cobra", "github.com/spf13/pflag", "github.com/google/go-containerregistry", "google.golang.org/protobuf",
	"github.com/klauspost/compress", "github.com/goccy/go-yaml", "gopkg.in", "golang.org/x/tools", "golang.org/x/mod",
}

// agentRooms are the packages of this module that the agent is made of.
var agentRooms = []string{
	"cmd/overland-agent",
	"internal/agent",
	"internal/agent/control",
	"internal/agent/follow",
	"internal/agent/host",
	"internal/agent/node",
	"internal/agent/stage",
	"internal/agent/switchover",
	"internal/appfile",
	"internal/cli/nodecli",
	"internal/clock",
	"internal/confine",
	"internal/confine/filter",
	"internal/digest",
	"internal/environ",
	"internal/errs",
	"internal/fetch",
	"internal/flight",
	"internal/fsx",
	"internal/health",
	"internal/httpx",
	"internal/lockfile",
	"internal/nodeapi",
	"internal/logfile",
	"internal/platform",
	"internal/printer",
	"internal/procfs",
	"internal/progress",
	"internal/release",
	"internal/release/inspect",
	"internal/runtime",
	"internal/runtime/process",
	"internal/store",
	"internal/store/dir",
	"internal/trust",
	"internal/trust/client",
	"internal/volume",
	"signature",
}

func TestAgentCarriesOnlyWhatItNeeds(t *testing.T) {
	for _, arch := range []string{"amd64", "arm"} {
		deps := strings.Fields(string(goList(t, []string{"GOOS=linux", "GOARCH=" + arch}, "-deps", "./cmd/overland-agent")))
		if !slices.Contains(deps, module+"internal/runtime/process") || !slices.Contains(deps, "net/http") {
			t.Fatalf("this is not the agent's import graph: %d packages", len(deps))
		}
		for _, v := range unwanted(deps) {
			t.Errorf("%s: the agent imports %s; see: go list -deps ./cmd/overland-agent", arch, v)
		}
	}
}

// unwanted returns those of deps that the agent must not hold.
func unwanted(deps []string) []string {
	var list []string
	for _, dep := range deps {
		below := func(s string) bool { return dep == s || strings.HasPrefix(dep, s+"/") }
		name, ours := strings.CutPrefix(dep, module)
		if slices.ContainsFunc(tooHeavy, below) || (ours && !slices.Contains(agentRooms, name)) {
			list = append(list, dep)
		}
	}
	return list
}

func TestBrokenFloorsAreFound(t *testing.T) {
	house := table(map[string]int{"digest": 0, "errs": 0, "store": 1, "trust": 1, "fetch": 2, "fetch/peer": 2}, []string{"cmd/x", "internal/testkit/link"})
	imports := func(names ...string) (list []string) {
		for _, name := range names {
			list = append(list, module+"internal/"+name)
		}
		return list
	}
	sound := func() map[string]pkg {
		m := map[string]pkg{}
		for name := range house {
			m[name] = pkg{ImportPath: module + name, Imports: []string{"fmt", "example.org/x"}}
		}
		return m
	}
	tests := map[string]struct {
		name string
		pkg  pkg
		want string // "" = allowed
	}{
		"down":                  {"internal/fetch", pkg{Imports: imports("store", "trust", "digest")}, ""},
		"own room":              {"internal/fetch", pkg{Imports: imports("fetch/peer")}, ""},
		"program":               {"cmd/x", pkg{Imports: imports("fetch", "digest")}, ""},
		"testkit in a test":     {"internal/store", pkg{TestImports: imports("testkit/link")}, ""},
		"own package in a test": {"internal/store", pkg{XTestImports: imports("store")}, ""},
		"up":                    {"internal/store", pkg{Imports: imports("fetch")}, "internal/store (floor 1) imports internal/fetch (floor 2): imports point down"},
		"up in a test":          {"internal/store", pkg{TestImports: imports("fetch")}, "internal/store (floor 1) imports internal/fetch (floor 2) in a test: imports point down"},
		"up from outside":       {"internal/store", pkg{XTestImports: imports("fetch")}, "internal/store (floor 1) imports internal/fetch (floor 2) in a test: imports point down"},
		"neighbour":             {"internal/store", pkg{Imports: imports("trust")}, "internal/store imports internal/trust: rooms on one floor do not know each other"},
		"testkit":               {"internal/store", pkg{Imports: imports("testkit/link")}, "internal/store imports internal/testkit/link, which stands outside of the house"},
		"program imported":      {"internal/fetch", pkg{TestImports: []string{module + "cmd/x"}}, "internal/fetch imports cmd/x in a test, which stands outside of the house"},
		"unlisted imported":     {"internal/fetch", pkg{Imports: imports("util")}, "internal/fetch imports internal/util, which is on no floor"},
		"unlisted":              {"internal/util", pkg{}, "internal/util is on no floor: add it to the table in internal/layers/layers_test.go"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			m := sound()
			test.pkg.ImportPath = module + test.name
			m[test.name] = test.pkg
			var all []pkg
			for _, p := range m {
				all = append(all, p)
			}
			got := strings.Join(violations(all, house), "; ")
			if got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
	t.Run("gone", func(t *testing.T) {
		if got := violations(nil, map[string]int{"internal/x": 0}); len(got) != 1 {
			t.Errorf("got %q", got)
		}
	})
	t.Run("heavy agent", func(t *testing.T) {
		deps := []string{"net/http", "goexperiment", "go/ast", "text/template/parse", module + "internal/builder", module + "internal/store", "github.com/spf13/cobra"}
		want := []string{"go/ast", "text/template/parse", module + "internal/builder", "github.com/spf13/cobra"}
		if got := unwanted(deps); !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

// list returns every package of the module as it is built for system.
func list(t *testing.T, system string) []pkg {
	t.Helper()
	touch(t)
	out := goList(t, []string{"GOOS=" + system}, "-json=ImportPath,Imports,TestImports,XTestImports", "./...")
	var all []pkg
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

func goList(t *testing.T, env []string, args ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", append([]string{"list"}, args...)...)
	cmd.Dir = root
	cmd.Env = append(append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS="), env...)
	var diagnosis strings.Builder
	cmd.Stderr = &diagnosis
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list %s: %v\n%s", strings.Join(args, " "), err, &diagnosis)
	}
	return out
}

const root = "../.."

// touch looks at every Go file, so that the go command remembers no pass of
// this test from before one changed.
func touch(t *testing.T) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && path != root && strings.HasPrefix(entry.Name(), ".") {
			return filepath.SkipDir
		}
		if strings.HasSuffix(path, ".go") || entry.Name() == "go.mod" {
			_, err = os.Stat(path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
