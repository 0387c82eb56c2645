package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"overland/internal/testkit/machine"
)

// host is one machine of the demo and what happened on it.
type host struct {
	*machine.Machine
	what   string
	took   []string // one entry per installation, for the closing table
	served string   // version that the running server reported last
}

func (d *demo) startMachines(ctx context.Context) error {
	arm, err := machine.ARM()
	if err != nil {
		return err
	}
	volumes := map[string]string{filepath.Join(d.dir, "volumes"): "/mnt"}
	kinds := []struct {
		what string
		opts machine.Options
	}{
		{"Debian host, amd64", machine.Options{Name: "debian", Root: machine.Host, Binds: volumes}},
		{"busybox host, arm/v6 under qemu-user", machine.Options{
			Name: "board", Root: machine.Busybox, Binds: volumes, Interpreters: []string{arm},
			Env: []string{"OVERLAND_PLATFORM=linux/arm/v6", "QEMU_CPU=arm1176"},
		}},
		{"container without an init, amd64", machine.Options{Name: "container", Root: machine.Busybox, Binds: volumes}},
	}
	for _, k := range kinds {
		m, err := machine.Start(ctx, k.opts)
		if err != nil {
			return err
		}
		h := &host{Machine: m, what: k.what}
		d.hosts = append(d.hosts, h)
		routes, err := m.Run(ctx, "cat", "/proc/net/route")
		if err != nil {
			return err
		}
		if strings.Count(routes, "\n") > 1 {
			return fmt.Errorf("machine %s has a route:\n%s", m.Name(), routes)
		}
		d.show.line("%-10s %s; no route, no DNS, nothing installed", m.Name(), k.what)
	}
	return nil
}

// install runs the volume itself on every machine, as a person with a USB stick would.
func (d *demo) install(ctx context.Context, tag, version string) error {
	for _, h := range d.hosts {
		began := time.Now()
		if err := d.runVolume(ctx, h, tag); err != nil {
			return fmt.Errorf("machine %s: %w", h.Name(), err)
		}
		h.took = append(h.took, fmt.Sprintf("%.1f s", time.Since(began).Seconds()))
		if err := d.mustServe(ctx, h, version); err != nil {
			return err
		}
	}
	return nil
}

func (d *demo) offerBroken(ctx context.Context) error {
	for _, h := range d.hosts {
		began := time.Now()
		err := d.runVolume(ctx, h, "v3")
		var exit *exec.ExitError
		switch {
		case err == nil:
			return fmt.Errorf("machine %s took the broken version", h.Name())
		case !errors.As(err, &exit):
			return fmt.Errorf("machine %s: %w", h.Name(), err)
		}
		h.took = append(h.took, fmt.Sprintf("rolled back, %.1f s", time.Since(began).Seconds()))
		if err := d.mustServe(ctx, h, version2); err != nil {
			return err
		}
	}
	return nil
}

func (d *demo) runVolume(ctx context.Context, h *host, tag string) error {
	argv := []string{"sh", "/mnt/" + filepath.Base(d.volume(tag)), "install", "--root", d.fingerprint, "--channel", "live"}
	d.show.command(h.Name() + "# " + strings.Join(argv, " "))
	cmd := h.Command(ctx, argv...)
	cmd.Stdout = d.show.child()
	cmd.Stderr = d.show.child()
	return cmd.Run()
}

// mustServe asks the running server itself which version it is, from inside its machine.
func (d *demo) mustServe(ctx context.Context, h *host, version string) error {
	out, err := h.Command(ctx, "busybox", "wget", "-q", "-O", "-", "http://127.0.0.1:8222/varz").Output()
	if err != nil {
		return fmt.Errorf("machine %s: ask the server for its version: %w", h.Name(), err)
	}
	var v struct{ Version string }
	if err := json.Unmarshal(out, &v); err != nil {
		return err
	}
	h.served = "v" + v.Version
	if h.served != version {
		return fmt.Errorf("machine %s serves %s, want %s", h.Name(), h.served, version)
	}
	d.show.line("%s: the server answers, %s", h.Name(), h.served)
	return nil
}
