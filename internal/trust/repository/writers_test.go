package repository_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/trust"
	"overland/internal/trust/client"
	"overland/internal/trust/keys"
	"overland/internal/trust/repository"
	"overland/internal/trust/trusttest"
)

const writerVar = "OVERLAND_TEST_WRITER" // "DIR NAME": this process is one of the writers of TestTwoProcessesAtOnce

func TestMain(m *testing.M) {
	if dir, name, ok := strings.Cut(os.Getenv(writerVar), " "); ok {
		if err := write(context.Background(), dir, name); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

const eachWriter = 8

// write releases app/wallet eachWriter times.
func write(ctx context.Context, dir, name string) error {
	k, err := keys.Open(filepath.Join(dir, "keys"), keys.Options{})
	if err != nil {
		return err
	}
	r, err := repository.Open(ctx, repository.Dir(filepath.Join(dir, "trust"), fsx.FS{}), k, repository.Options{})
	if err != nil {
		return err
	}
	return releases(ctx, r, name)
}

func releases(ctx context.Context, r *repository.Repository, name string) error {
	for i := range eachWriter {
		if err := r.SetTargets(ctx, "app/wallet", target(fmt.Sprintf("app/wallet/%s-%d", name, i))); err != nil {
			return err
		}
	}
	return nil
}

func target(path string) func(trust.Signed, map[string]trust.TargetFile) error {
	return func(_ trust.Signed, m map[string]trust.TargetFile) error {
		m[path] = trust.TargetFile{Digest: digest.Of([]byte(path)), Size: int64(len(path))}
		return nil
	}
}

// nothingLost checks what two writers have left: every release, one version
// each, and a node that follows.
func nothingLost(t *testing.T, r *repository.Repository) {
	t.Helper()
	now, err := r.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	history, err := now.History(t.Context(), "app/wallet")
	if n := len(now.Targets("app/wallet")); err != nil || n != 2*eachWriter || len(history) != n {
		t.Errorf("%d releases in %d versions, %v; want %d", n, len(history), err, 2*eachWriter)
	}
	node, err := client.Open(t.TempDir(), client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := node.Pin(t.Context(), now, now.Fingerprint()); err != nil {
		t.Fatal(err)
	}
	if _, err := node.Refresh(t.Context(), now, client.RefreshOptions{}); err != nil {
		t.Error(err)
	}
}

func TestTwoProcessesAtOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	k, err := keys.Open(filepath.Join(dir, "keys"), keys.Options{})
	if err != nil {
		t.Fatal(err)
	}
	r, err := repository.Init(t.Context(), repository.Dir(filepath.Join(dir, "trust"), fsx.FS{}), k, repository.InitOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var wait sync.WaitGroup
	for _, name := range []string{"a", "b"} {
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), writerVar+"="+dir+" "+name)
		wait.Go(func() {
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
	wait.Wait()
	nothingLost(t, r)
}

// contested lets another writer be first, once, before each of the first few commits.
type contested struct {
	repository.Files
	first func() error
	times int
}

func (c *contested) Commit(ctx context.Context, base repository.Revision, changes []repository.Change) (repository.Revision, error) {
	if c.times > 0 {
		c.times--
		if err := c.first(); err != nil {
			return "", err
		}
	}
	return c.Files.Commit(ctx, base, changes)
}

func memory(t *testing.T, files repository.Files, k repository.Keys, o repository.InitOptions) *repository.Repository {
	t.Helper()
	r, err := repository.Init(t.Context(), files, k, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Two writers share files in memory; each time that one is about to commit, the other was first.
func TestAWriterThatLostTriesAgain(t *testing.T) {
	files, k := trusttest.NewMemory(), trusttest.NewMemoryKeys()
	r := memory(t, files, k, repository.InitOptions{})
	other, err := repository.Open(t.Context(), files, k, repository.Options{})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	first := func() error {
		n++
		return other.SetTargets(t.Context(), "app/wallet", target(fmt.Sprintf("app/wallet/b-%d", n)))
	}
	mine, err := repository.Open(t.Context(), &contested{files, first, eachWriter}, k, repository.Options{})
	if err != nil {
		t.Fatal(err)
	}
	calls := 0
	for i := range eachWriter {
		err := mine.SetTargets(t.Context(), "app/wallet", func(now trust.Signed, m map[string]trust.TargetFile) error {
			calls++
			return target(fmt.Sprintf("app/wallet/a-%d", i))(now, m)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if calls != 2*eachWriter {
		t.Errorf("the change was made %d times, want %d", calls, 2*eachWriter)
	}
	nothingLost(t, r)
}

// A writer that always loses ends with its context.
func TestAWriterThatAlwaysLosesEnds(t *testing.T) {
	files, k := trusttest.NewMemory(), trusttest.NewMemoryKeys()
	other := memory(t, files, k, repository.InitOptions{})
	ctx, cancel := context.WithCancel(t.Context())
	n := 0
	first := func() error {
		if n++; n == 5 {
			cancel()
		}
		return other.SetTargets(context.WithoutCancel(ctx), "app/b", target(fmt.Sprintf("app/b/%d", n)))
	}
	mine, err := repository.Open(ctx, &contested{files, first, 100}, k, repository.Options{})
	if err != nil {
		t.Fatal(err)
	}
	err = mine.SetTargets(ctx, "app/a", target("app/a/1"))
	if errs.KindOf(err) != errs.Conflict || !errors.Is(err, repository.ErrMoved) {
		t.Errorf("%v; want ErrMoved", err)
	}
}

// One change reads each file once, however many roles there are; the next one reads nothing.
func TestAChangeReadsEachFileOnce(t *testing.T) {
	files, k := trusttest.NewMemory(), trusttest.NewMemoryKeys()
	r := memory(t, files, k, repository.InitOptions{})
	const roles = 20
	for i := range roles {
		role := fmt.Sprintf("channel/c%d", i)
		if err := r.SetTargets(t.Context(), role, target(role+"/wallet")); err != nil {
			t.Fatal(err)
		}
	}
	if reads := files.Reads(); len(reads) > 0 {
		t.Errorf("the only writer read %v", reads)
	}
	again, err := repository.Open(t.Context(), files, k, repository.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := again.SetTargets(t.Context(), "channel/live", target("channel/live/wallet")); err != nil {
		t.Fatal(err)
	}
	reads := files.Reads()
	for name, n := range reads {
		if n > 1 {
			t.Errorf("%s was read %d times", name, n)
		}
	}
	if want := roles + 4; len(reads) != want { // root, timestamp, snapshot, targets
		t.Errorf("%d files were read, want %d", len(reads), want)
	}
	if _, err := again.Show(t.Context()); err != nil {
		t.Fatal(err)
	}
	if reads := files.Reads(); len(reads) > 0 {
		t.Errorf("what was written was read again: %v", reads)
	}
}
