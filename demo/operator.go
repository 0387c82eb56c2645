package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// operate runs overland as the operator would, showing the command and its output,
// and returns its standard output.
func (d *demo) operate(ctx context.Context, args ...string) (string, error) {
	d.show.command("overland " + strings.Join(args, " "))
	cmd := exec.CommandContext(ctx, d.overland, args...)
	cmd.Dir = d.repository()
	// What was compiled stays for the next run; everything else of the site goes with .demo.
	cmd.Env = append(os.Environ(), "OVERLAND_HOME="+filepath.Join(d.dir, "site"), "OVERLAND_COMPILED="+d.compiled)
	var out strings.Builder
	cmd.Stdout = &out
	cmd.Stderr = d.show.child()
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("overland %s: %w", args[0], err)
	}
	return out.String(), nil
}

// tell runs overland and shows its standard output too.
func (d *demo) tell(ctx context.Context, args ...string) error {
	out, err := d.operate(ctx, args...)
	d.show.text(out)
	return err
}

func (d *demo) build(ctx context.Context) error {
	return d.tell(ctx, "build", "--rev", "v1")
}

func (d *demo) trust(ctx context.Context) error {
	if err := d.tell(ctx, "trust", "init"); err != nil {
		return err
	}
	out, err := d.operate(ctx, "trust", "show", "--json")
	if err != nil {
		return err
	}
	var t struct{ Fingerprint string }
	if err := json.Unmarshal([]byte(out), &t); err != nil {
		return err
	}
	if t.Fingerprint == "" {
		return errors.New("overland trust show printed no fingerprint")
	}
	d.fingerprint = t.Fingerprint
	d.show.line("root of trust: %s", d.fingerprint)
	return nil
}

func (d *demo) release(ctx context.Context, tag string) error {
	out, err := d.operate(ctx, "release", "--rev", tag, "--json")
	if err != nil {
		return err
	}
	var r struct{ App, Version string }
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		return err
	}
	ref := r.App + "@" + r.Version
	if err := d.tell(ctx, "promote", ref, "--to", "staging"); err != nil {
		return err
	}
	return d.tell(ctx, "promote", r.App, "--from", "staging", "--to", "live")
}

func (d *demo) volume(tag string) string {
	return filepath.Join(d.dir, "volumes", "nats-"+tag+".volume")
}

func (d *demo) seal(ctx context.Context, tag string) error {
	file := d.volume(tag)
	if err := d.tell(ctx, "seal", "--channel", "live", "-o", file); err != nil {
		return err
	}
	info, err := os.Stat(file)
	if err != nil {
		return err
	}
	d.show.line("%s: %.1f MiB", filepath.Base(file), float64(info.Size())/(1<<20))
	return nil
}

func (d *demo) next(ctx context.Context, tag string) error {
	if err := d.release(ctx, tag); err != nil {
		return err
	}
	return d.seal(ctx, tag)
}
