package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"overland/internal/ecosystem/apt"
)

// rootfs measures a base of busybox and libc for four of Debian's architectures: its packages chosen from the indexes and
// locked, and made from the lock; and for this machine's alone, beside mmdebstrap.
func (b *bench) rootfs(ctx context.Context) error {
	sources, err := apt.MachineSources()
	if err != nil {
		return err
	}
	suite := sources[0].Suites[0]
	dir, err := os.MkdirTemp(b.dir, "rootfs-")
	if err != nil {
		return err
	}
	repo := filepath.Join(dir, "repo")
	// Neither updates nor security: they lack an architecture, and a mirror may be between two days.
	if err := committed(ctx, repo, map[string]string{"overland.yaml": fmt.Sprintf(`overland: 1
name: base
artifacts:
  root:
    rootfs: {from: debian/%s, packages: [busybox, libc6], updates: none}
    platforms: [linux/amd64, linux/arm/v5, linux/arm/v7, linux/arm64]
`, suite)}); err != nil {
		return err
	}
	in := func(cmd *exec.Cmd) *exec.Cmd {
		cmd.Dir = repo
		return cmd
	}
	// The depot has everything; the indexes are asked for and read again.
	lock := func(verb ...string) *exec.Cmd {
		return in(b.command(ctx, append(append([]string{"--quiet"}, verb...), "--", b.overland, "--quiet", "build", "--jobs", "2", "--rev", "HEAD")...))
	}
	if _, err := measure(lock("record")); err != nil {
		return err
	}
	if _, err := output(ctx, repo, "git add . && git -c user.name=bench -c user.email=bench@localhost commit -qm lock"); err != nil {
		return err
	}
	var update, four, one, rival way
	for range b.rounds {
		for _, step := range []struct {
			way *way
			cmd *exec.Cmd
		}{
			{&update, lock("lock", "update")},
			{&four, in(b.command(ctx, "--quiet", "build", "--rebuild", "--jobs", "2", "--rev", "HEAD", "--out", filepath.Join(dir, "out")))},
			{&one, in(b.command(ctx, "--quiet", "build", "--rebuild", "--single-target", "--rev", "HEAD"))},
			{&rival, exec.CommandContext(ctx, "mmdebstrap", "--quiet", "--variant=extract", "--include=busybox,libc6,base-files,base-passwd",
				suite, filepath.Join(dir, "rival.tar"), sources[0].URIs[0])},
		} {
			c, err := measure(step.cmd)
			if err != nil {
				return err
			}
			step.way.runs = append(step.way.runs, c)
		}
	}
	size := func(name string) (int64, error) {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			return 0, err
		}
		return info.Size(), nil
	}
	ours, err := size("out/linux-amd64/root")
	if err != nil {
		return err
	}
	theirs, err := size("rival.tar")
	if err != nil {
		return err
	}
	b.table.add("lock update of a base, the indexes of four architectures", "%s", "≤ 6 s", &update)
	b.table.add("that base for four architectures, from the lock", "%s, RSS %.0f MiB", "≤ 1.5 s, RSS ≤ 96 MiB", &four, mib(four.largest()))
	b.table.add("the same for this machine's alone", "%s, %.1f MiB; mmdebstrap --variant=extract: %s, %.1f MiB; %s faster", "≥ 15 × faster, not larger", &one, mib(ours), &rival, mib(theirs),
		rival.against(&one))
	return nil
}

// largest returns the largest resident set of all runs.
func (w *way) largest() (n int64) {
	for _, c := range w.runs {
		n = max(n, c.rss)
	}
	return n
}
