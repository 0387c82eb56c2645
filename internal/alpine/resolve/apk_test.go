package resolve_test

import (
	"bufio"
	"bytes"
	"crypto/sha1" // what the format has
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"overland/internal/alpine"
	"overland/internal/alpine/resolve"
	"overland/internal/testkit/pack"
)

var record = flag.Int("record", 0, "ask the apk in PATH about so many random sets of each universe, and write what it answers to testdata")

// universes is how many there are; each is made from its number.
const universes = 12

// universe is a main and a community repository, as texts of an APKINDEX, and what may be wished.
type universe struct {
	indexes [2]string
	wishes  []string
}

// newUniverse makes one: libraries with several versions, programs that need them by so:, virtual names with and without priority,
// parts that come by install_if, conflicts, and what can never be had.
func newUniverse(seed uint64) *universe {
	random := rand.New(rand.NewPCG(seed, 7))
	u := &universe{}
	one := func(of int) bool { return random.IntN(of) == 0 }
	pick := func(list []string) string { return list[random.IntN(len(list))] }
	versions := []string{"1.0-r0", "1.0-r2", "1.1_rc1-r0", "1.1-r0", "1.2.3-r1", "2.0-r0"}
	var names, libs []string
	for i := range 12 {
		libs = append(libs, fmt.Sprintf("lib%d", i))
	}
	virtuals := []string{"v0", "v1", "v2", "v3", "v4"}
	records := [2][]string{}
	add := func(name, version string, fields ...string) {
		at := 0
		if one(3) {
			at = 1
		}
		sum := sha1.Sum([]byte(fmt.Sprint(seed, name, version, at)))
		records[at] = append(records[at], fmt.Sprintf("C:%s\nP:%s\nV:%s\nA:x86_64\nS:1000\nI:4096\nT:x\no:%s\n%s", alpine.Checksum(sum[:]), name, version, name, strings.Join(fields, "")))
		u.wishes = append(u.wishes, name)
		if one(8) {
			u.wishes = append(u.wishes, name+pick([]string{"=", "<", ">", "<=", ">="})+version)
		}
	}
	some := func(n int) []string {
		var list []string
		for range n {
			list = append(list, pick(versions))
		}
		slices.SortFunc(list, alpine.CompareVersions)
		return slices.CompactFunc(list, func(a, b string) bool { return alpine.CompareVersions(a, b) == 0 })
	}
	for i, lib := range libs {
		for j, v := range some(1 + random.IntN(3)) {
			provides := fmt.Sprintf("p:so:%s.so.%d=%d.%d", lib, j/2, j/2, j)
			if one(5) {
				provides += " " + pick(virtuals) + pick([]string{"", "=1", "=2"})
			}
			depends := ""
			if i > 0 && one(2) {
				depends = "D:so:" + libs[random.IntN(i)] + ".so.0\n"
			}
			add(lib, v, provides+"\n", depends)
		}
		names = append(names, lib)
	}
	for i := range 30 {
		name := fmt.Sprintf("app%02d", i)
		for _, v := range some(1 + random.IntN(2)) {
			var depends, provides []string
			for range random.IntN(4) {
				switch random.IntN(9) {
				case 0, 1, 2:
					depends = append(depends, "so:"+pick(libs)+".so."+pick([]string{"0", "0", "0", "0", "0", "0", "1"}))
				case 3, 4:
					depends = append(depends, pick(names))
				case 5:
					depends = append(depends, pick(names)+pick([]string{"<1.1-r0", ">1.0-r2", "~1.1", ">=1.1_rc1-r0", "<=2.0-r0", "~2", ">=1.2.3-r1"}))
				case 6:
					if one(2) {
						break
					}
					depends = append(depends, "!"+pick(names)+pick([]string{"", "", "<1.1-r0", ">1.1-r0"}))
				case 7:
					depends = append(depends, pick(virtuals)+pick([]string{"", "", "", ">=1"}))
				default:
					if one(6) {
						depends = append(depends, "none")
					}
				}
			}
			k := ""
			if one(4) {
				provides = append(provides, pick(virtuals)+pick([]string{"", "", "=1", "=2"}))
				if one(2) {
					k = fmt.Sprintf("k:%d\n", 1+random.IntN(3)*10)
				}
			}
			if one(6) {
				provides = append(provides, "cmd:"+name+"="+v)
			}
			var fields []string
			if depends != nil {
				fields = append(fields, "D:"+strings.Join(depends, " ")+"\n")
			}
			if provides != nil {
				fields = append(fields, "p:"+strings.Join(provides, " ")+"\n")
			}
			add(name, v, append(fields, k)...)
			if one(3) {
				part := name + pick([]string{"-doc", "-openrc"})
				with := pick([]string{"app00", "lib0", "lib1", "docs"})
				depends := ""
				if one(2) {
					depends = "D:" + pick(names) + "\n"
				}
				add(part, v, "i:"+name+"="+v+" "+with+"\n", depends)
			}
		}
		names = append(names, name)
	}
	add("docs", "1-r0")
	for i, list := range records {
		slices.SortStableFunc(list, func(a, b string) int { return strings.Compare(pName(a), pName(b)) })
		u.indexes[i] = strings.Join(list, "\n") + "\n"
	}
	return u
}

func pName(record string) string { return strings.Split(record, "\n")[1] }

// sets returns n random sets of wishes.
func (u *universe) sets(seed uint64, n int) (list [][]string) {
	random := rand.New(rand.NewPCG(seed, 8))
	for range n {
		var wishes, names []string
		for range 1 + random.IntN(5) {
			w := u.wishes[random.IntN(len(u.wishes))]
			name := strings.Split(strings.NewReplacer("<", "=", ">", "=").Replace(w), "=")[0]
			if !slices.Contains(names, name) {
				wishes, names = append(wishes, w), append(names, name)
			}
		}
		slices.Sort(wishes)
		list = append(list, wishes)
	}
	return list
}

// indexFile returns an APKINDEX.tar.gz without a signature.
func indexFile(t *testing.T, text string) []byte {
	t.Helper()
	return pack.AlpineMember(t, pack.AlpineBirth, true, "DESCRIPTION", "x", "APKINDEX", text)
}

func (u *universe) pool(t *testing.T) *resolve.Pool {
	t.Helper()
	pool := resolve.NewPool("x86_64")
	for i, text := range u.indexes {
		err := alpine.ReadInfos(bytes.NewReader(indexFile(t, text)), func(p *alpine.Info) error {
			pool.Add([]string{"main", "community"}[i], p)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return pool
}

// line is one line of testdata/answers: the universe, the wishes, how many packages apk installs, and a part of the digest of their
// list. Not their order: between packages that do not need each other it is that of a table of hashes in apk.
func line(universe int, wishes, answer []string) string {
	first := fmt.Sprintf("%d\t%s", universe, strings.Join(wishes, " "))
	if answer == nil {
		return first + "\t-"
	}
	slices.Sort(answer)
	sum := sha256.Sum256([]byte(strings.Join(answer, "\n")))
	return fmt.Sprintf("%s\t%d\t%s", first, len(answer), hex.EncodeToString(sum[:6]))
}

func ours(pool *resolve.Pool, wishes []string) ([]string, error) {
	answer, err := pool.Resolve(resolve.Request{Packages: wishes})
	if err != nil {
		return nil, err
	}
	return listed(answer), nil
}

func listed(answer *resolve.Answer) (list []string) {
	for _, p := range answer.Packages {
		list = append(list, p.Name+" "+p.Version)
	}
	return list
}

func TestTheSetsAreApks(t *testing.T) {
	if *record > 0 {
		recordAnswers(t, *record)
	}
	b, err := os.ReadFile("testdata/answers")
	if err != nil {
		t.Fatal(err)
	}
	pools := map[string]*resolve.Pool{}
	same, found, lines := 0, 0, bufio.NewScanner(bytes.NewReader(b))
	for lines.Scan() {
		fields := strings.Split(lines.Text(), "\t")
		var number int
		if _, err := fmt.Sscan(fields[0], &number); err != nil {
			t.Fatal(err)
		}
		if pools[fields[0]] == nil {
			pools[fields[0]] = newUniverse(uint64(number)).pool(t)
		}
		wishes := strings.Fields(fields[1])
		answer, err := pools[fields[0]].Resolve(resolve.Request{Packages: wishes})
		var got []string
		if err == nil {
			got = listed(answer)
			if bad := wrong(wishes, answer.Packages); bad != "" {
				t.Errorf("%v: %s: %v", wishes, bad, got)
			}
		}
		switch {
		case line(number, wishes, got) == lines.Text():
			same++
		case fields[2] == "-": // ours goes back where apk gives up
			found++
		default:
			t.Errorf("%s, ours: %s %v", lines.Text(), line(number, wishes, got), err)
		}
	}
	if same == 0 || found > same/5 {
		t.Errorf("%d sets are the same, %d were found where apk finds none", same, found)
	}
	t.Logf("%d sets are the same, %d were found where apk finds none", same, found)
}

// wrong says what is wrong with a set, told by the rules alone.
func wrong(wishes []string, set []*resolve.Package) string {
	type has struct {
		by      int
		version string
	}
	names := map[string][]has{}
	for i, p := range set {
		names[p.Name] = append(names[p.Name], has{i, p.Version})
		for _, v := range p.Provides {
			if !slices.Contains(names[v.Name], has{i, v.Version}) {
				names[v.Name] = append(names[v.Name], has{i, v.Version})
			}
		}
	}
	for name, list := range names {
		for _, h := range list {
			if h.by != list[0].by && (h.version != "" || list[0].version != "") {
				return "two packages have " + name
			}
		}
	}
	check := func(who string, d alpine.Dependency) string {
		for _, h := range names[d.Name] {
			if d.Holds(h.version) == d.Not {
				return fmt.Sprintf("%s has %s, there is %s", who, d, h.version)
			}
		}
		if len(names[d.Name]) == 0 && !d.Not {
			return fmt.Sprintf("%s lacks %s", who, d)
		}
		return ""
	}
	for _, w := range wishes {
		d, err := alpine.ParseDependency(w)
		if err != nil {
			return err.Error()
		}
		if bad := check("the world", d); bad != "" {
			return bad
		}
	}
	for _, p := range set {
		for _, d := range p.Depends {
			if bad := check(p.Name, d); bad != "" {
				return bad
			}
		}
	}
	return ""
}

// recordAnswers writes testdata: what apk says of n random sets of each universe.
func recordAnswers(t *testing.T, n int) {
	var out strings.Builder
	for i := range universes {
		u := newUniverse(uint64(i))
		dir := t.TempDir()
		common := []string{"--root", filepath.Join(dir, "root"), "--arch", "x86_64", "--no-network", "--no-cache", "--allow-untrusted", "--repositories-file", filepath.Join(dir, "repositories")}
		repositories := ""
		for j, text := range u.indexes {
			repository := filepath.Join(dir, fmt.Sprint(j))
			if err := os.MkdirAll(filepath.Join(repository, "x86_64"), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(repository, "x86_64", alpine.IndexName), indexFile(t, text), 0o644); err != nil {
				t.Fatal(err)
			}
			repositories += repository + "\n"
		}
		if err := os.WriteFile(filepath.Join(dir, "repositories"), []byte(repositories), 0o644); err != nil {
			t.Fatal(err)
		}
		run := func(args ...string) (string, error) {
			c := exec.CommandContext(t.Context(), "apk", slices.Concat(common, args)...)
			b, err := c.CombinedOutput()
			return string(b), err
		}
		if out, err := run("add", "--initdb"); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		pool := u.pool(t)
		for _, wishes := range u.sets(uint64(i), n) {
			text, err := run(append([]string{"add", "--simulate"}, wishes...)...)
			var list []string
			for l := range strings.Lines(text) {
				if _, rest, ok := strings.Cut(l, ") Installing "); ok {
					list = append(list, strings.NewReplacer("(", "", ")", "").Replace(strings.TrimSpace(rest)))
				}
			}
			if err != nil && !strings.Contains(text, "unable to select packages") || err == nil && list == nil {
				t.Fatalf("%v: %v: %s", wishes, err, text)
			}
			if err != nil {
				list = nil
			}
			fmt.Fprintln(&out, line(i, wishes, list))
			if got, why := ours(pool, wishes); line(i, nil, got) != line(i, nil, list) {
				t.Logf("%d %v:\napk  %v\nours %v %v\n%s", i, wishes, list, got, why, text)
			}
		}
	}
	if err := os.MkdirAll("testdata", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("testdata/answers", []byte(out.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}
