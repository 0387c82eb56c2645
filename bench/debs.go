package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// through is a server that apt goes through, and what that cost.
type through struct {
	name   string
	server *daemon
	lines  string // of apt's configuration
	way    way
	cpu    []float64 // the server's
}

// aptCaches measures apt through the cache, in turns with apt-cacher-ng and a
// mirror of nginx. All are warm.
func (b *bench) aptCaches(ctx context.Context) error {
	p, err := b.debs(ctx)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp(b.dir, "apt-caches-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	site, err := b.cacheSite(ctx, filepath.Join(dir, "site"))
	if err != nil {
		return err
	}
	defer site.stop()
	rival, err := aptCacher(ctx, filepath.Join(dir, "acng"))
	if err != nil {
		return err
	}
	defer rival.stop()
	home, lock, root := filepath.Join(dir, "home"), filepath.Join(dir, "overland.lock"), filepath.Join(dir, "mirror")
	record := b.command(ctx, "--home", home, "--quiet", "record", "--lock", lock, "--", "sh", "-c", p.script)
	record.Dir = p.dir
	if _, err := measure(record); err != nil {
		return err
	}
	nginx, err := b.nginx(ctx, root)
	if err != nil {
		return err
	}
	defer nginx.stop()
	sources, err := mirror(lock, home, root, nginx.url)
	if err != nil {
		return err
	}
	proxy := func(d *daemon) string { return fmt.Sprintf("Acquire::http::Proxy %q;", d.url) }
	all := []*through{
		{name: "overland", server: site, lines: proxy(site)},
		{name: "apt-cacher-ng", server: rival, lines: proxy(rival)},
		{name: "a mirror of nginx", server: nginx, lines: only(sources)},
	}
	for round := range b.rounds + 1 {
		for _, t := range all {
			if err := t.run(ctx, p, filepath.Join(dir, "caches"), round > 0); err != nil {
				return fmt.Errorf("%s: %w", t.name, err)
			}
		}
	}
	for i, t := range all {
		must := ""
		if i == 0 {
			must = "no slower than apt-cacher-ng"
		}
		b.table.add(strings.Replace(p.name, ":", "", 1)+" through "+t.name, "%s; the server %.2f CPU-s", must, &t.way, least(t.cpu))
	}
	return nil
}

// run runs apt through t with empty caches. The first time, which fills t, does not count.
func (t *through) run(ctx context.Context, p *project, caches string, counts bool) error {
	if err := os.RemoveAll(caches); err != nil {
		return err
	}
	env, err := aptConfig(caches, t.lines)
	if err != nil {
		return err
	}
	before, err := t.server.cpu()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "sh", "-c", p.script)
	cmd.Dir, cmd.Env = p.dir, append(os.Environ(), env...)
	c, err := measure(cmd)
	if err != nil {
		return err
	}
	after, err := t.server.cpu()
	if counts {
		t.way.runs = append(t.way.runs, c)
		t.cpu = append(t.cpu, after-before)
	}
	return err
}

// aptCacher starts apt-cacher-ng with a cache of its own in dir.
func aptCacher(ctx context.Context, dir string) (*daemon, error) {
	addr, err := freePort(ctx)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Join(dir, "log"), 0o755); err != nil {
		return nil, err
	}
	// Its own configuration: the machine's may send it to other mirrors, or to none.
	_, port, _ := strings.Cut(addr, ":")
	conf := fmt.Sprintf("BindAddress: 127.0.0.1\nPort: %s\nCacheDir: %s\nLogDir: %s/log\nPidFile: %s/pid\nSocketPath: %s/socket\nForeGround: 1\n", port, dir, dir, dir, dir)
	if err := os.WriteFile(filepath.Join(dir, "acng.conf"), []byte(conf), 0o600); err != nil {
		return nil, err
	}
	d := &daemon{url: "http://" + addr, cmd: exec.CommandContext(ctx, "/usr/sbin/apt-cacher-ng", "-c", dir)}
	d.pids = func() ([]int, error) { return []int{d.cmd.Process.Pid}, nil }
	if err := d.cmd.Start(); err != nil {
		return nil, err
	}
	return d, await(ctx, addr)
}

// transfers measures the cache's memory with a thousand clients that are
// in the middle of a large blob.
func (b *bench) transfers(ctx context.Context) error {
	const clients = 1000
	large := sizes[0]
	root := filepath.Join(b.dir, "static")
	if err := writeModule(root, large); err != nil {
		return err
	}
	nginx, err := b.nginx(ctx, root)
	if err != nil {
		return err
	}
	defer nginx.stop()
	site, err := b.cacheSite(ctx, filepath.Join(b.dir, "transfers-site"), "go="+nginx.url)
	if err != nil {
		return err
	}
	defer site.stop()
	began := time.Now()
	if err := pull(ctx, site.url+"/go/"+large.path(), clients, large.size); err != nil {
		return err
	}
	rss, err := peak(site.cmd.Process.Pid)
	if err != nil {
		return err
	}
	b.table.add(fmt.Sprintf("memory with %d concurrent transfers of %s, none stored before", clients, large.name), "RSS %.0f MiB at most, %.0f s for all of them",
		"≤ 200 MiB", mib(rss), time.Since(began).Seconds())
	return nil
}
