package confine_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"overland/internal/confine"
)

// spec returns how a shell script runs with the machine's programs and nothing else.
func spec(t *testing.T, script string) confine.Spec {
	t.Helper()
	mounts, err := confine.System()
	if err != nil {
		t.Fatal(err)
	}
	return confine.Spec{
		Path: "/bin/sh", Args: []string{"sh", "-c", script}, Env: []string{"PATH=/usr/bin:/bin"},
		Mounts: mounts, User: confine.User{ID: 1000, Group: 1000, HostID: 61000, HostGroup: 61000},
	}
}

// run returns what the command printed and how it ended.
func run(t *testing.T, s confine.Spec) (string, confine.Exit, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var out bytes.Buffer
	s.Stdout, s.Stderr = &out, &out
	p, err := confine.Start(ctx, s)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v", p.Applied)
	exit, err := p.Wait()
	return strings.TrimSpace(out.String()), exit, err
}

func TestACommandRuns(t *testing.T) {
	out, exit, err := run(t, spec(t, "echo $$; id -u; id -G; ls /; cat /proc/self/status | grep -i -E 'cap|priv|secc'; ls /proc | head -3; exit 3"))
	if err != nil || exit.Code != 3 {
		t.Errorf("%v %v", exit, err)
	}
	t.Log(out)
}

func TestNothingElseIsSeen(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(secret, []byte("secret"), 0o644); err != nil {
		t.Fatal(err)
	}
	out, _, err := run(t, spec(t, "cat "+secret+"; ls /root /home /var/lib/overland; ip link 2>/dev/null | grep -c .; cat /proc/1/environ"))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(out, "secret") {
		t.Error(out)
	}
	t.Log(out)
}

func TestLimits(t *testing.T) {
	s := spec(t, "head -c 300m /dev/zero | tail")
	s.Limits.Memory = 64 << 20
	_, exit, err := run(t, s)
	var limit *confine.LimitError
	if !errors.As(err, &limit) || limit.What != "memory" {
		t.Errorf("%v %v", exit, err)
	}
	s = spec(t, "bomb() { bomb | bomb & }; bomb; sleep 2; exit 1")
	s.Limits.Processes = 64
	_, exit, err = run(t, s)
	if !errors.As(err, &limit) || limit.What != "processes" {
		t.Errorf("%v %v", exit, err)
	}
	s = spec(t, "sleep 1000 & sleep 1000")
	s.Limits.Time = 300 * time.Millisecond
	_, exit, err = run(t, s)
	if !errors.As(err, &limit) || limit.What != "time" {
		t.Errorf("%v %v", exit, err)
	}
}
