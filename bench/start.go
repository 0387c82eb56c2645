package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"overland/internal/testkit/machine"
)

const server = `package main

import "net/http"

func main() {
	http.HandleFunc("/health", func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("ok")) })
	panic(http.ListenAndServe("127.0.0.1:6420", nil))
}
`

const serverApplication = `overland: 1
name: server
artifacts:
  server: {go: ., platforms: [linux/amd64]}
services:
  server:
    artifact: server
    runtime: process
    selftest: [{http: "http://127.0.0.1:6420/health", status: 200, within: 60s}]
    stable: 100ms
`

// start measures the wait from a volume on the disk to a service that passed its self-test, beside
// the service's own start, and what the agent needs while nothing happens.
func (b *bench) start(ctx context.Context) error {
	repo := filepath.Join(b.dir, "server")
	if err := os.MkdirAll(repo, 0o755); err != nil {
		return err
	}
	for name, text := range map[string]string{"main.go": server, "overland.yaml": serverApplication, "go.mod": "module server\n\ngo 1.26.0\ntoolchain go1.26.8\n"} {
		if err := os.WriteFile(filepath.Join(repo, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	sh := exec.CommandContext(ctx, "sh", "-c", "git init -q && git add . && git -c user.name=bench -c user.email=bench@localhost commit -qm bench")
	sh.Dir = repo
	if _, err := measure(sh); err != nil {
		return err
	}
	file := filepath.Join(b.dir, "server.volume")
	seal := b.command(ctx, "seal", "--platform", "linux/amd64", "-o", file, "--quiet")
	seal.Dir = repo
	if _, err := measure(seal); err != nil {
		return err
	}
	alone, err := b.alone(ctx, repo)
	if err != nil {
		return err
	}
	out, err := b.command(ctx, "trust", "show", "--quiet").Output()
	if err != nil {
		return err
	}
	fingerprint := findFingerprint(string(out))
	m, err := machine.Start(ctx, machine.Options{Name: "start", Root: machine.Busybox, Binds: map[string]string{file: "/mnt/server.volume"}})
	if err != nil {
		return err
	}
	defer m.Stop()
	c, err := measure(m.Command(ctx, "sh", "/mnt/server.volume", "install", "--root", fingerprint, "--channel", "local/server"))
	if err != nil {
		return err
	}
	beyond := c.wall - alone - 100*time.Millisecond
	b.table.add("volume on disk → service passing its self-test", "%.2f s beyond the service's own %.2f s", "≤ 3 s beyond", beyond.Seconds(), alone.Seconds())
	return b.idle(ctx, m)
}

// alone measures the service's own start: from exec to its first answer.
func (b *bench) alone(ctx context.Context, repo string) (time.Duration, error) {
	program := filepath.Join(b.dir, "server-alone")
	build := exec.CommandContext(ctx, "go", "build", "-o", program, ".")
	build.Dir = repo
	if _, err := measure(build); err != nil {
		return 0, err
	}
	began := time.Now()
	cmd := exec.CommandContext(ctx, program)
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	for time.Since(began) < 10*time.Second {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", "127.0.0.1:6420")
		if err == nil {
			defer conn.Close()
			fmt.Fprint(conn, "GET /health HTTP/1.0\r\n\r\n")
			_, err = io.ReadAll(conn)
			return time.Since(began), err
		}
		time.Sleep(time.Millisecond)
	}
	return 0, errors.New("the server did not start")
}

func (b *bench) idle(ctx context.Context, m *machine.Machine) error {
	const wait = 20 * time.Second
	before, err := everything(ctx, m, "overland-agent")
	if err != nil {
		return err
	}
	select {
	case <-time.After(wait):
	case <-ctx.Done():
		return ctx.Err()
	}
	after, err := everything(ctx, m, "overland-agent")
	if err != nil {
		return err
	}
	rss, err := resident(ctx, m)
	if err != nil {
		return err
	}
	b.table.add("the agent when idle", "%s; %.2f CPU-s in %.0f s for everything on the machine", "RSS ≤ 16 MiB, CPU ≈ 0",
		rss, (after.cpu - before.cpu).Seconds(), wait.Seconds())
	return nil
}

// resident says how much memory the agent and its supervisor hold now. Both are the same program,
// so most of one's resident pages are the other's too; PSS counts a shared page once.
func resident(ctx context.Context, m *machine.Machine) (string, error) {
	out, err := m.Run(ctx, "sh", "-c", `for p in /proc/[0-9]*; do
		verb=$(tr '\0' ' ' <$p/cmdline 2>/dev/null | grep '^[^ ]*overland-agent ' | cut -d' ' -f2)
		[ -n "$verb" ] && echo "$verb $(grep ^Rss: $p/smaps_rollup | tr -dc 0-9) $(grep ^Pss: $p/smaps_rollup | tr -dc 0-9)"
	done; true`)
	if err != nil {
		return "", fmt.Errorf("read memory: %w: %s", err, out)
	}
	var parts []string
	var pss float64
	for line := range strings.Lines(out) {
		var verb string
		var r, p float64
		if _, err := fmt.Sscan(line, &verb, &r, &p); err != nil {
			return "", fmt.Errorf("read memory: %q: %w", line, err)
		}
		parts = append(parts, fmt.Sprintf("%s RSS %.1f MiB", verb, r/1024))
		pss += p / 1024
	}
	return fmt.Sprintf("%s; together PSS %.1f MiB", strings.Join(parts, ", "), pss), nil
}

func findFingerprint(text string) string {
	for word := range strings.FieldsSeq(text) {
		if strings.HasPrefix(word, "sha256:") {
			return word
		}
	}
	return ""
}
