package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"overland/internal/builder"
	"overland/internal/confine"
	"overland/internal/errs"
	"overland/internal/operator"
	"overland/internal/pipeline"
	"overland/internal/procfs"
	"overland/internal/session"
	"overland/internal/source"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == confine.Verb {
		confine.Main()
	}
	if len(os.Args) > 1 && os.Args[1] == session.Verb { // a replay starts its own program
		fmt.Fprintln(os.Stderr, session.Inside(context.Background(), os.Args[3:]))
		os.Exit(1)
	}
	goleak.VerifyTestMain(m)
}

// shop is a repository, and the site directory of whoever runs its pipelines.
type shop struct {
	*testing.T
	dir string
	p   *operator.Operator
}

func newShop(t *testing.T, files map[string]string) *shop {
	t.Helper()
	s := &shop{T: t, dir: t.TempDir()}
	s.git("init", "-q", "-b", "main")
	s.commit(files)
	p, err := operator.Open(filepath.Join(t.TempDir(), "site"), operator.Options{Make: true, Env: []string{"PATH=" + os.Getenv("PATH"), "MY_TOKEN=PRIVATE"}})
	if err != nil {
		t.Fatal(err)
	}
	s.p = p.With(operator.Callbacks{})
	return s
}

func (s *shop) commit(files map[string]string) {
	s.Helper()
	for name, text := range files {
		path := filepath.Join(s.dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			s.Fatal(err)
		}
	}
	s.git("add", "-A")
	s.git("commit", "-q", "--allow-empty", "-m", "x")
}

func (s *shop) git(args ...string) {
	s.Helper()
	cmd := exec.CommandContext(s.Context(), "git", append([]string{"-c", "user.name=a", "-c", "user.email=a@example.org"}, args...)...)
	cmd.Dir = s.dir
	if out, err := cmd.CombinedOutput(); err != nil {
		s.Fatalf("git %v: %v\n%s", args, err, out)
	}
}

func (s *shop) run(o pipeline.Options) (*pipeline.Plan, error) {
	s.Helper()
	o.Source.Dir = s.dir
	return pipeline.Run(s.Context(), s.p, o)
}

// fifo makes a pipe called name in the cache of the shop's steps.
func (s *shop) fifo(name string) *os.File {
	s.Helper()
	repo, err := source.Open(s.Context(), s.dir)
	if err != nil {
		s.Fatal(err)
	}
	c, err := repo.Resolve(s.Context(), "")
	if err != nil {
		s.Fatal(err)
	}
	_, folder, err := builder.Owner(s.Context(), repo, c, "shop")
	if err != nil {
		s.Fatal(err)
	}
	path := filepath.Join(s.p.StepCaches(folder), "go-build", name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), syscall.Mkfifo(path, 0o666), os.Chmod(path, 0o666)); err != nil {
		s.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR|syscall.O_NONBLOCK, 0)
	if err != nil {
		s.Fatal(err)
	}
	return f
}

// states returns what a plan has for each step: "unit remembered".
func (s *shop) states() string {
	s.Helper()
	plans, err := pipeline.Plans(s.Context(), s.p, pipeline.Options{Source: operator.SourceOptions{Dir: s.dir}, Pipeline: "ci"})
	if err != nil {
		s.Fatal(err)
	}
	var list []string
	for _, one := range plans[0].Steps {
		list = append(list, one.ID+" "+string(one.State))
	}
	return strings.Join(list, ", ")
}

const head = "overland: 1\nname: shop\nartifacts:\n  api:\n    command: {run: [sh, -euc, \"test ! -e $GOCACHE/step; touch $GOCACHE/build; mkdir out; printf '#!/bin/sh\\necho tea\\n' >out/api; chmod +x out/api\"], output: out/api}\n" +
	"    platforms: [linux/amd64]\npipelines:\n  ci:\n"

// Steps get what they need, see what they may, and are run when that has changed alone. What they leave in
// caches reaches no build.
func TestAPipeline(t *testing.T) {
	s := newShop(t, map[string]string{
		"overland.lock": "overland.lock 1\n", "src/a": "1", "docs/b": "1",
		"overland.yaml": head + `    make: {run: [sh, -c, 'ls >list; test ! -e docs && mkdir out && cp src/a out/a'], paths: [src], keep: [out, list]}
    docs: {run: [grep, -q, "1", docs/b], paths: [docs]}
    e2e:
      run: [sh, -c, 'test "$($OVERLAND_NEEDS/api)" = tea && test -f $OVERLAND_NEEDS/make/out/a && test $locale = ${OVERLAND_STEP#e2e/} && test $SOURCE_DATE_EPOCH = 315532800']
      needs: [api, make]
      paths: [src]
      matrix: {locale: [en, de]}
    shaky:
      run: [sh, -c, 'test ! -e $GOCACHE/build || exit 4; touch $GOCACHE/step; test -e $GOCACHE/tried || { touch $GOCACHE/tried; exit 3; }']
      paths: [docs]
      retry: 2
`,
	})
	plan, err := s.run(pipeline.Options{Parallel: 4, Out: filepath.Join(s.dir, ".git", "kept")})
	if err != nil {
		t.Fatal(err)
	}
	if n := plan.Ended["shaky"].Tries; n != 2 || len(plan.Ended) != 5 {
		t.Errorf("shaky was tried %d times; ended: %+v", n, plan.Ended)
	}
	if b, err := os.ReadFile(filepath.Join(s.dir, ".git", "kept", "make", "list")); err != nil || string(b) != "list\nsrc\n" {
		t.Errorf("a step with paths saw %q, %v", b, err)
	}
	const all = "docs remembered, make remembered, e2e/en remembered, e2e/de remembered, shaky remembered"
	if got := s.states(); got != all {
		t.Errorf("after a run: %s", got)
	}
	// The artifact is called after the commit and has the same bytes in the next one; so the tree decides.
	s.commit(nil)
	if again, err := s.run(pipeline.Options{}); err != nil || len(again.Ended) != 0 {
		t.Errorf("the same tree in another commit: %v, %+v", err, again)
	}
	s.commit(map[string]string{"docs/b": "2"})
	if got := s.states(); !strings.HasPrefix(got, "docs runs, make remembered, e2e/en waits, ") {
		t.Errorf("after a change of docs: %s", got)
	}
	failed, err := s.run(pipeline.Options{})
	if err == nil || errs.KindOf(err).Exit() != 1 || !strings.Contains(err.Error(), "1 step did not pass: docs") || failed.Ended["e2e/de"].Err != nil {
		t.Fatalf("a step that fails: %v, %+v", err, failed)
	}
	if _, err := os.Stat(failed.Ended["docs"].Log); err != nil {
		t.Errorf("its log: %v", err)
	}
	if got := s.states(); !strings.HasPrefix(got, "docs runs, make remembered, e2e/en remembered, ") {
		t.Errorf("a failure is remembered: %s", got)
	}
}

// A step reaches its copy, and nothing else of whoever runs it.
func TestAStepSeesItsCopyAndNothingElse(t *testing.T) {
	s := newShop(t, map[string]string{"overland.yaml": "overland: 1\n"})
	site := s.p.Dir()
	key := filepath.Join(site, "keys", "root.key")
	if err := errors.Join(os.MkdirAll(filepath.Dir(key), 0o755), os.WriteFile(key, []byte("PRIVATE"), 0o644)); err != nil {
		t.Fatal(err)
	}
	s.commit(map[string]string{
		"overland.yaml": head + "    evil: {run: [sh, evil.sh], keep: [got]}\n    links: {run: [ln, -s, " + key + ", got], keep: [got]}\n" +
			"    bomb: {run: [sh, -c, \"head -c 1M /dev/zero | tr '\\\\0' '<' >r\"], report: r}\n    gone: {run: [sh, -c, 'rm -rf ../src'], keep: [got]}\n",
		"evil.sh": strings.NewReplacer("KEY", key, "SITE", site, "REPO", s.dir).Replace(`exec 2>/dev/null
			{ cat KEY; env | grep MY_TOKEN; echo x >SITE/x; echo x >REPO/x; echo x >/usr/bin/x && echo WROTE
			for f in SITE/cache/pipelines/*; do echo "SEES $f"; done | grep -v '[*]'; echo end; } >got
			setsid sleep 987321 </dev/null >/dev/null &`),
	})
	plan, err := s.run(pipeline.Options{Parallel: 4, Out: filepath.Join(s.dir, ".git", "kept")})
	if err == nil || plan == nil {
		t.Fatalf("%v", err)
	}
	for id, want := range map[string]string{"evil": "", "links": "neither a folder nor a file", "bomb": "report r: ", "gone": "keep: "} {
		if e := plan.Ended[id].Err; (e == nil) != (want == "") || e != nil && !strings.Contains(e.Error(), want) {
			t.Errorf("%s: %v", id, e)
		}
	}
	if b, err := os.ReadFile(filepath.Join(s.dir, ".git", "kept", "evil", "got")); err != nil || string(b) != "end\n" {
		t.Errorf("it reached %q, %v", b, err)
	}
	for _, dir := range []string{site, s.dir} { // which may be there in the cell, as folders of its own
		if _, err := os.Stat(filepath.Join(dir, "x")); err == nil {
			t.Errorf("it wrote into %s", dir)
		}
	}
	_ = procfs.Each(func(p procfs.Process) {
		if line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", p.PID)); string(line) == "sleep\x00987321\x00" && !p.Dead() {
			t.Errorf("process %d outlived its step", p.PID)
			p.Signal(syscall.SIGKILL)
		}
	})
}

// A run that is interrupted ends with all that it started; one that is too slow, and one that wants a
// secret, says so.
func TestStepsEnd(t *testing.T) {
	s := newShop(t, map[string]string{"overland.yaml": head + "    hang: {run: [sh, -c, 'sleep 987322 & echo up >$GOCACHE/up; wait']}\n    slow: {run: [sleep, '987322'], timeout: 300ms}\n    after: {run: ['true'], needs: [slow]}\n    mail: {run: ['true'], secrets: [smtp]}\n"})
	if _, err := s.run(pipeline.Options{}); errs.KindOf(err) != errs.Denied || !strings.Contains(err.Error(), "secrets smtp: only a site has them") || errs.HintOf(err) == "" {
		t.Errorf("a secret: %v", err)
	}
	plan, err := s.run(pipeline.Options{Steps: []string{"after"}})
	if e := plan.Ended["slow"].Err; err == nil || e == nil || !strings.Contains(e.Error(), "the limit of 300ms for time") || !strings.Contains(errs.HintOf(e), "timeout") || len(plan.Ended) != 1 {
		t.Errorf("too slow: %v, %+v", err, plan)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	up := s.fifo("up")
	heard := make(chan error)
	go func() {
		_, err := up.Read(make([]byte, 1))
		cancel()
		heard <- err
	}()
	_, err = pipeline.Run(ctx, s.p, pipeline.Options{Source: operator.SourceOptions{Dir: s.dir}, Steps: []string{"hang"}})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("an interrupt: %v", err)
	}
	if err := errors.Join(up.Close(), <-heard); err != nil {
		t.Errorf("it was interrupted before it ran: %v", err)
	}
	_ = procfs.Each(func(p procfs.Process) {
		if line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", p.PID)); string(line) == "sleep\x00987322\x00" && !p.Dead() {
			t.Errorf("process %d outlived its run", p.PID)
			p.Signal(syscall.SIGKILL)
		}
	})
}
