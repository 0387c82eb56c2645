package resolve_test

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"overland/internal/deb"
	"overland/internal/deb/resolve"
)

// archives are the files of testdata, in the order of apt's sources.
var archives = []string{"main", "security"}

func unpacked(t *testing.T, name string) []byte {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", name+".xz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := deb.Unpack(f)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// newPool returns what testdata has.
func newPool(t *testing.T) (*resolve.Pool, []*deb.Package) {
	t.Helper()
	pool := resolve.NewPool("amd64")
	var all []*deb.Package
	for _, name := range archives {
		a := &resolve.Archive{Name: name}
		err := deb.ReadPackages(bytes.NewReader(unpacked(t, name)), func(p *deb.Package) error {
			pool.Add(a, p)
			all = append(all, p)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return pool, all
}

func ours(pool *resolve.Pool, wishes []string) ([]string, error) {
	answer, err := pool.Resolve(resolve.Request{Packages: wishes})
	if err != nil {
		return nil, err
	}
	var list []string
	for _, p := range answer.Packages {
		list = append(list, p.Name+" "+p.Version)
	}
	return list, nil
}

// line is one line of testdata/answers: the wishes, how many packages apt installs, and a part of the digest of their list.
func line(wishes, answer []string) string {
	if answer == nil {
		return strings.Join(wishes, " ") + "\t-"
	}
	sum := sha256.Sum256([]byte(strings.Join(answer, "\n")))
	return fmt.Sprintf("%s\t%d\t%s", strings.Join(wishes, " "), len(answer), hex.EncodeToString(sum[:6]))
}

func TestTheSetsAreApts(t *testing.T) {
	file := "testdata/answers"
	if *record > 0 {
		recordAnswers(t, *record, file)
	}
	if *ask > 0 {
		file = filepath.Join(t.TempDir(), "answers")
		recordAnswers(t, *ask, file)
	}
	pool, _ := newPool(t)
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	same, lines := 0, bufio.NewScanner(bytes.NewReader(b))
	for lines.Scan() {
		wished, _, _ := strings.Cut(lines.Text(), "\t")
		wishes := strings.Fields(wished)
		got, err := ours(pool, wishes)
		if line(wishes, got) == lines.Text() {
			same++
			continue
		}
		t.Errorf("%s, ours: %s %v", lines.Text(), line(wishes, got), err)
	}
	t.Logf("%d sets are the same", same)
}
