package main

import (
	"archive/zip"
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// served is one size of blob that is asked for, so many times in a round.
type served struct {
	name     string
	size     int64
	requests int
}

var sizes = []served{{"100 MiB", 100 << 20, 30}, {"1 MiB", 1 << 20, 2000}, {"10 KiB", 10 << 10, 20000}}

// path is where the blob is, for a static server and for the Go module protocol alike.
func (s served) path() string {
	return "bench.example/" + strings.ReplaceAll(strings.ToLower(s.name), " ", "") + "/@v/v1.0.0.zip"
}

// serve measures the cost of cached blobs, beside nginx with the same files.
func (b *bench) serve(ctx context.Context) error {
	root := filepath.Join(b.dir, "static")
	for _, s := range sizes {
		if err := writeModule(root, s); err != nil {
			return err
		}
	}
	nginx, err := b.nginx(ctx, root)
	if err != nil {
		return err
	}
	defer nginx.stop()
	site, err := b.cacheSite(ctx, filepath.Join(b.dir, "cache-site"), "go="+nginx.url)
	if err != nil {
		return err
	}
	defer site.stop()
	for _, s := range sizes {
		var ours, theirs []float64
		for range b.rounds {
			for _, of := range []struct {
				server *daemon
				prefix string
				list   *[]float64
			}{{nginx, "/", &theirs}, {site, "/go/", &ours}} {
				sec, err := of.server.load(ctx, of.prefix+s.path(), s)
				if err != nil {
					return err
				}
				*of.list = append(*of.list, sec)
			}
		}
		a, n := least(ours), least(theirs)
		per := fmt.Sprintf("%.3f CPU-s per GiB, nginx %.3f", a/s.gibibytes(), n/s.gibibytes())
		must := "≤ 1.3 × nginx"
		if s.size < 1<<20 {
			per = fmt.Sprintf("%.0f µs CPU per request, nginx %.0f", a/float64(s.requests)*1e6, n/float64(s.requests)*1e6)
			must = ""
		}
		b.table.add("cached blobs of "+s.name+", best of "+strconv.Itoa(b.rounds), "%s: %.2f ×", must, per, a/n)
	}
	return nil
}

func (s served) gibibytes() float64 { return float64(s.size) * float64(s.requests) / (1 << 30) }

// writeModule writes a module's archive of about s.size incompressible bytes.
func writeModule(root string, s served) error {
	path := filepath.Join(root, s.path())
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	z := zip.NewWriter(f)
	module, _, _ := strings.Cut(s.path(), "/@v/")
	w, err := z.CreateHeader(&zip.FileHeader{Name: module + "@v1.0.0/data", Method: zip.Store})
	if err != nil {
		return err
	}
	if _, err := io.CopyN(w, rand.NewChaCha8([32]byte{2}), s.size-300); err != nil {
		return err
	}
	return errors.Join(z.Close(), f.Close())
}

// daemon is a server that runs beside the measurement.
type daemon struct {
	url  string
	cmd  *exec.Cmd
	pids func() ([]int, error)
}

func (d *daemon) stop() {
	_ = d.cmd.Process.Signal(os.Interrupt)
	_ = d.cmd.Wait()
}

// cpu returns what the server's processes have used so far, in seconds.
func (d *daemon) cpu() (float64, error) {
	pids, err := d.pids()
	if err != nil {
		return 0, err
	}
	var ticks int64
	for _, pid := range pids {
		raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			return 0, err
		}
		_, fields, _ := strings.Cut(string(raw), ") ")
		// Fields 14 and 15 of proc(5): utime, stime; the state after ") " is field 3.
		f := strings.Fields(fields)
		for _, i := range []int{11, 12} {
			n, err := strconv.ParseInt(f[i], 10, 64)
			if err != nil {
				return 0, err
			}
			ticks += n
		}
	}
	per, err := clockTicks(context.Background())
	return float64(ticks) / float64(per), err
}

// load asks for path, four at a time, and returns the server's CPU seconds.
func (d *daemon) load(ctx context.Context, path string, s served) (float64, error) {
	before, err := d.cpu()
	if err != nil {
		return 0, err
	}
	const clients = 4
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: clients}}
	defer client.CloseIdleConnections()
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(clients)
	for range s.requests {
		g.Go(func() error {
			n, err := get(ctx, client, d.url+path)
			if err == nil && n < s.size/2 {
				err = fmt.Errorf("%s: only %d bytes", d.url+path, n)
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return 0, err
	}
	after, err := d.cpu()
	return after - before, err
}

func get(ctx context.Context, client *http.Client, url string) (int64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return 0, err
	}
	res, err := client.Do(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, res.Body, make([]byte, 256<<10))
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", url, res.Status)
	}
	return n, err
}

// nginx serves the files in root by one worker.
func (b *bench) nginx(ctx context.Context, root string) (*daemon, error) {
	addr, err := freePort(ctx)
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(b.dir, "nginx")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	conf := fmt.Sprintf(`daemon off; worker_processes 1; pid %[1]s/pid; error_log %[1]s/error.log; user root;
events { worker_connections 4096; }
http { access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000; client_body_temp_path %[1]s/body;
  proxy_temp_path %[1]s/proxy; fastcgi_temp_path %[1]s/fastcgi; uwsgi_temp_path %[1]s/uwsgi; scgi_temp_path %[1]s/scgi;
  server { listen %[2]s; root %[3]s; } }
`, dir, addr, root)
	file := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		return nil, err
	}
	d := &daemon{url: "http://" + addr, cmd: exec.CommandContext(ctx, "nginx", "-c", file, "-e", filepath.Join(dir, "error.log"))}
	d.pids = func() ([]int, error) { return family(d.cmd.Process.Pid) }
	if err := d.cmd.Start(); err != nil {
		return nil, err
	}
	return d, await(ctx, addr)
}

// cacheSite serves a cache in dir with these upstreams.
func (b *bench) cacheSite(ctx context.Context, dir string, upstreams ...string) (*daemon, error) {
	if out, err := b.command(ctx, "site", "init", dir).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("site init: %w\n%s", err, out)
	}
	args := []string{"site", "run", dir, "--listen", "127.0.0.1:0", "--cache-listen", "127.0.0.1:0"}
	for _, u := range upstreams {
		args = append(args, "--cache-upstream", u)
	}
	d := &daemon{cmd: b.command(ctx, args...)}
	d.cmd.Env = append(d.cmd.Env, "GONOSUMDB=bench.example", "GODEBUG="+os.Getenv("BENCH_GODEBUG"))
	d.pids = func() ([]int, error) { return []int{d.cmd.Process.Pid}, nil }
	out, err := d.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := d.cmd.Start(); err != nil {
		return nil, err
	}
	said := ""
	for lines := bufio.NewScanner(out); lines.Scan(); {
		said += lines.Text() + "\n"
		if _, url, ok := strings.Cut(lines.Text(), "overland cache env "); ok {
			d.url = strings.Trim(url, " `")
			go func() { _, _ = io.Copy(io.Discard, out) }()
			return d, nil
		}
	}
	return nil, fmt.Errorf("the site ended: %s", said)
}

// family returns the process pid and its children.
func family(pid int) ([]int, error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	list := []int{pid}
	for f := range strings.FieldsSeq(string(raw)) {
		n, err := strconv.Atoi(f)
		if err != nil {
			return nil, err
		}
		list = append(list, n)
	}
	return list, err
}

// freePort returns a free address of this machine. apt-cacher-ng accepts no port above 32767.
func freePort(ctx context.Context) (string, error) {
	const low, span, tries = 20000, 12000, 100
	var err error
	for range tries {
		var l net.Listener
		if l, err = new(net.ListenConfig).Listen(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", low+rand.IntN(span))); err == nil {
			return l.Addr().String(), l.Close()
		}
	}
	return "", err
}

func await(ctx context.Context, addr string) error {
	for began := time.Now(); time.Since(began) < 10*time.Second; time.Sleep(10 * time.Millisecond) {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
		if err == nil {
			return conn.Close()
		}
	}
	return fmt.Errorf("nothing answers at %s", addr)
}

func least(list []float64) float64 {
	best := list[0]
	for _, v := range list {
		best = min(best, v)
	}
	return best
}
