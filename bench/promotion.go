package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

const promotedApplication = `overland: 1
name: promoted
artifacts:
  promoted: {go: ., platforms: [linux/amd64]}
`

// promotion counts, with strace, the files that one `overland promote --from staging
// --to live` opens below the site directory's trust and keys folders: in a site of
// one channel, and in one of 62.
func (b *bench) promotion(ctx context.Context) error {
	home, repo := filepath.Join(b.dir, "promotion"), filepath.Join(b.dir, "promoted")
	files := map[string]string{"main.go": program, "overland.yaml": promotedApplication, "go.mod": "module promoted\n\ngo 1.26.0\ntoolchain go1.26.8\n"}
	if err := os.MkdirAll(repo, 0o755); err != nil {
		return err
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(repo, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	git := exec.CommandContext(ctx, "sh", "-c", "git init -q && git add . && git -c user.name=bench -c user.email=bench@localhost commit -qm bench")
	git.Dir = repo
	if _, err := measure(git); err != nil {
		return err
	}
	overland := func(args ...string) error {
		cmd := b.command(ctx, append([]string{"--home", home, "--quiet"}, args...)...)
		cmd.Dir = repo
		_, err := measure(cmd)
		return err
	}
	if err := overland("trust", "init"); err != nil {
		return err
	}
	if err := overland("release"); err != nil {
		return err
	}
	version, err := exec.CommandContext(ctx, "sh", "-c",
		fmt.Sprintf("cd %q && echo r$(git rev-list --count HEAD).$(git rev-parse --short=12 HEAD)", repo)).Output()
	if err != nil {
		return err
	}
	ref := "promoted@" + strings.TrimSpace(string(version))
	if err := overland("promote", ref, "--to", "staging"); err != nil {
		return err
	}
	one, err := b.opens(ctx, home, "live")
	if err != nil {
		return err
	}
	const channels = 62
	for i := 2; i < channels; i++ {
		if err := overland("promote", ref, "--to", "channel-"+strconv.Itoa(i)); err != nil {
			return err
		}
	}
	many, err := b.opens(ctx, home, "last")
	if err != nil {
		return err
	}
	b.table.add("files opened by one promotion, with 1 channel before", one.String(), "each at most once")
	b.table.add(fmt.Sprintf("files opened by one promotion, with %d channels before", channels), many.String(), "≤ 130, each at most once")
	return nil
}

// opened counts how often existing files are opened for reading.
type opened struct {
	all, metadata, keys int // opens of anything in the two folders; of metadata; of key files
	most, mostKey       int // of one file of metadata; of one key file
}

func (o opened) String() string {
	return fmt.Sprintf("%d opens: of metadata %d, of one file at most %d; of keys %d, of one file at most %d",
		o.all, o.metadata, o.most, o.keys, o.mostKey)
}

// opens promotes staging to channel to under strace.
func (b *bench) opens(ctx context.Context, home, to string) (opened, error) {
	logs, err := os.MkdirTemp(b.dir, "strace-*")
	if err != nil {
		return opened{}, err
	}
	// One log for each thread: a call is a whole line in it.
	cmd := exec.CommandContext(ctx, "strace", "-ff", "-qq", "-e", "trace=openat,open", "-e", "signal=none", "-o", filepath.Join(logs, "log"),
		b.overland, "--home", home, "--quiet", "promote", "--from", "staging", "--to", to)
	cmd.Env = append(os.Environ(), "OVERLAND_AGENTS="+b.agents)
	if _, err := measure(cmd); err != nil {
		return opened{}, err
	}
	threads, err := os.ReadDir(logs)
	if err != nil {
		return opened{}, err
	}
	var text strings.Builder
	for _, t := range threads {
		b, err := os.ReadFile(filepath.Join(logs, t.Name()))
		if err != nil {
			return opened{}, err
		}
		text.Write(b)
	}
	var o opened
	times := map[string]int{}
	for line := range strings.Lines(text.String()) {
		_, rest, ok := strings.Cut(line, "\"")
		path, rest, end := strings.Cut(rest, "\"")
		name, below := strings.CutPrefix(path, home+string(filepath.Separator))
		folder, file, _ := strings.Cut(name, string(filepath.Separator))
		if !ok || !end || !below || folder != "trust" && folder != "keys" || strings.Contains(rest, "ENOENT") {
			continue
		}
		o.all++
		times[name]++
		switch ext := filepath.Ext(file); {
		case strings.HasPrefix(filepath.Base(file), ".") || strings.Contains(rest, "O_CREAT"):
			// a temporary file, or the lock
		case folder == "trust" && ext == ".json":
			o.metadata++
			o.most = max(o.most, times[name])
		case folder == "keys" && (ext == ".pub" || ext == ".key"):
			o.keys++
			o.mostKey = max(o.mostKey, times[name])
		}
	}
	return o, nil
}
