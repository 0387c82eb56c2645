package resolve_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"overland/internal/deb"
)

var (
	record   = flag.Int("record", 0, "ask the machine's apt about so many random sets, and write what it answers to testdata")
	ask      = flag.Int("ask", 0, "the same, without writing it: answers are compared at once")
	universe = flag.String("universe", "", "with -record: Packages files, divided by commas, as archives has them, of which testdata gets a part")
	within   = flag.Duration("within", time.Hour, "with -record and -ask: how long apt is asked; what it has answered by then is compared")
	seed     = flag.Uint64("seed", 1, "with -record: of the random sets")
)

// aptRoot is a machine for apt that has nothing installed, and the archives of testdata.
type aptRoot struct{ dir string }

func newAptRoot(t *testing.T) aptRoot {
	t.Helper()
	r := aptRoot{t.TempDir()}
	var sources strings.Builder
	for _, name := range archives {
		dir := filepath.Join(r.dir, name)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "Packages"), unpacked(t, name), 0o644); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&sources, "deb [trusted=yes] file:%s ./\n", dir)
	}
	for _, dir := range []string{"etc/apt/preferences.d", "etc/apt/apt.conf.d", "state/lists/partial", "cache/archives/partial"} {
		if err := os.MkdirAll(filepath.Join(r.dir, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range map[string]string{
		"status": "", "sources.list": sources.String(),
		"apt.conf": fmt.Sprintf(`Dir %q; Dir::Etc "etc/apt"; Dir::Etc::sourcelist %q; Dir::State "state"; Dir::State::status %q; Dir::Cache "cache"; Dir::Log "log";
APT::Architecture "amd64"; APT::Architectures {"amd64";}; APT::Sandbox::User "root"; APT::Install-Recommends "false"; Acquire::Languages "none";
`, r.dir, filepath.Join(r.dir, "sources.list"), filepath.Join(r.dir, "status")),
	} {
		if err := os.WriteFile(filepath.Join(r.dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := r.run(t, "update"); err != nil {
		t.Fatalf("apt-get update: %v: %s", err, out)
	}
	return r
}

func (r aptRoot) run(t *testing.T, args ...string) (string, error) {
	t.Helper()
	c := exec.CommandContext(t.Context(), "apt-get", append([]string{"-q"}, args...)...)
	c.Env = []string{"APT_CONFIG=" + filepath.Join(r.dir, "apt.conf"), "LC_ALL=C", "PATH=" + os.Getenv("PATH"), "HOME=" + r.dir}
	out, err := c.CombinedOutput()
	return string(out), err
}

// install returns what apt would install for wishes, "NAME VERSION", sorted; nil when it refuses.
func (r aptRoot) install(t *testing.T, wishes []string) []string {
	t.Helper()
	out, err := r.run(t, append([]string{"-s", "-y", "--no-install-recommends", "install"}, wishes...)...)
	if err != nil {
		if !strings.Contains(out, "\nE: ") {
			t.Fatalf("apt-get install %v: %v: %s", wishes, err, out)
		}
		return nil
	}
	var list []string
	for line := range strings.Lines(out) {
		if rest, ok := strings.CutPrefix(line, "Inst "); ok {
			words := strings.Fields(rest)
			list = append(list, words[0]+" "+strings.Trim(words[1], "("))
		}
	}
	slices.Sort(list)
	return list
}

// recordAnswers writes to file what apt says of n random sets.
func recordAnswers(t *testing.T, n int, file string) {
	if *universe != "" {
		choose(t, strings.Split(*universe, ","))
	}
	root := newAptRoot(t)
	_, all := newPool(t)
	var names, touchy []string
	for _, p := range all {
		if names = append(names, p.Name); len(p.Conflicts) > 0 || len(p.Breaks) > 0 {
			touchy = append(touchy, p.Name)
		}
	}
	random := rand.New(rand.NewPCG(*seed, 0))
	sets := make([][]string, n)
	for i := range sets {
		var wishes []string
		for range 1 + random.IntN(6) {
			from := names
			if random.IntN(2) == 0 {
				from = touchy
			}
			wishes = append(wishes, from[random.IntN(len(from))])
		}
		slices.Sort(wishes)
		sets[i] = slices.Compact(wishes)
	}
	var out strings.Builder
	ends := time.Now().Add(*within)
	for i, wishes := range sets {
		if time.Now().After(ends) {
			t.Logf("apt was asked for %v: %d of %d sets", *within, i, len(sets))
			break
		}
		fmt.Fprintln(&out, line(wishes, root.install(t, wishes)))
	}
	if err := os.WriteFile(file, []byte(out.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

// choose writes a part of the Packages files to testdata: random packages, and all that these may need.
func choose(t *testing.T, files []string) {
	all, providers := map[string][]*deb.Package{}, map[string][]string{}
	var names []string
	for _, file := range files {
		f, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		err = deb.ReadPackages(f, func(p *deb.Package) error {
			if all[p.Name] == nil {
				names = append(names, p.Name)
			}
			all[p.Name] = append(all[p.Name], p)
			for _, a := range p.Provides {
				providers[a[0].Name] = append(providers[a[0].Name], p.Name)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	const seeds, most = 300, 4
	random, in := rand.New(rand.NewPCG(*seed, 0)), map[string]bool{}
	queue := []string{"base-files", "busybox", "ca-certificates", "libc6", "tzdata"}
	for range seeds {
		queue = append(queue, names[random.IntN(len(names))])
	}
	for len(queue) > 0 {
		n := queue[0]
		if queue = queue[1:]; in[n] {
			continue
		}
		in[n] = all[n] != nil
		for _, p := range all[n] {
			for _, a := range slices.Concat(p.PreDepends, p.Depends) {
				for _, r := range a {
					queue = append(append(queue, r.Name), providers[r.Name][:min(most, len(providers[r.Name]))]...)
				}
			}
		}
	}
	t.Logf("%d of %d packages", len(in), len(names))
	for i, file := range files {
		reduce(t, file, archives[i], in)
	}
}

// reduce writes the packages of file that are in to testdata, with the fields that a resolver reads.
func reduce(t *testing.T, file, archive string, in map[string]bool) {
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var out strings.Builder
	for d := deb.NewDecoder(f); ; {
		p, err := d.Next()
		if err != nil {
			break
		}
		if !in[p["package"]] {
			continue
		}
		p["sha256"], p["size"], p["filename"] = strings.Repeat("0", 64), "1", "a"
		for _, name := range []string{
			"Package", "Version", "Architecture", "Multi-Arch", "Priority", "Essential", "Protected", "Source", "Filename", "Size", "SHA256",
			"Pre-Depends", "Depends", "Conflicts", "Breaks", "Recommends", "Suggests", "Replaces", "Enhances", "Provides",
		} {
			if v := p[strings.ToLower(name)]; v != "" && v != "no" {
				fmt.Fprintf(&out, "%s: %s\n", name, v)
			}
		}
		out.WriteByte('\n')
	}
	c := exec.CommandContext(t.Context(), "xz", "-9e")
	c.Stdin, c.Env = strings.NewReader(out.String()), []string{"PATH=" + os.Getenv("PATH")}
	packed, err := c.Output()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join("testdata", archive+".xz"), packed, 0o644); err != nil {
		t.Fatal(err)
	}
}
