package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// distributionVersion is the rival's, which is built once.
const distributionVersion = "github.com/distribution/distribution/v3/cmd/registry@v3.1.2"

// registry measures what a server pays while skopeo pushes an image with a layer of size bytes over TLS, and pulls it, beside
// the registry of the distribution project with the same certificate.
func (b *bench) registry(ctx context.Context, size int64) error {
	dir, err := os.MkdirTemp(b.dir, "registry-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	tools, layout, site := filepath.Join(dir, "tools"), filepath.Join(dir, "layout"), filepath.Join(dir, "site")
	install := exec.CommandContext(ctx, "go", "install", distributionVersion)
	install.Env = append(os.Environ(), "GOBIN="+tools, "GOFLAGS=-mod=mod")
	if _, err := measure(install); err != nil {
		return err
	}
	if _, err := measure(b.command(ctx, "site", "init", site)); err != nil {
		return err
	}
	said, err := b.command(ctx, "--home", site, "registry", "add-account", "bench", "--push", "**").Output()
	if err != nil {
		return fmt.Errorf("add-account: %w", err)
	}
	token := regexp.MustCompile(`\S{20,}`).FindString(string(said))
	if err := os.MkdirAll(filepath.Join(dir, "certs"), 0o755); err != nil {
		return err
	}
	certificate, err := b.command(ctx, "site", "certificate", site).Output()
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "certs", "ca.crt"), certificate, 0o600)
	}
	if err != nil {
		return err
	}
	var push, pull [2][]float64
	var rss [2]int64
	for round := range b.rounds {
		if err := heavyImage(layout, uint64(round), size); err != nil {
			return err
		}
		for i, start := range []func() (*daemon, string, error){
			func() (*daemon, string, error) { return b.registrySite(ctx, site) },
			func() (*daemon, string, error) {
				return distribution(ctx, filepath.Join(tools, "registry"), filepath.Join(dir, fmt.Sprint("data-", round)), site)
			},
		} {
			d, addr, err := start()
			if err != nil {
				return err
			}
			image := fmt.Sprintf("docker://%s/bench/app:%d", addr, round)
			out := "dir:" + filepath.Join(dir, "out")
			for _, step := range []struct {
				list *[]float64
				args []string
			}{
				{&push[i], []string{"--dest-cert-dir", filepath.Join(dir, "certs"), "--dest-creds", "bench:" + token, "oci:" + layout, image}},
				{&pull[i], []string{"--src-cert-dir", filepath.Join(dir, "certs"), image, out}},
			} {
				before, err := d.cpu()
				if err == nil {
					_, err = measure(exec.CommandContext(ctx, "skopeo", append([]string{"copy", "-q"}, step.args...)...))
				}
				if err != nil {
					d.stop()
					return err
				}
				after, err := d.cpu()
				if err != nil {
					return err
				}
				*step.list = append(*step.list, after-before)
			}
			used, err := peak(d.cmd.Process.Pid)
			d.stop()
			if err != nil {
				return err
			}
			rss[i] = max(rss[i], used)
			if err := os.RemoveAll(filepath.Join(dir, "out")); err != nil {
				return err
			}
		}
	}
	for what, of := range map[string]*[2][]float64{"pushed": &push, "pulled": &pull} {
		a, k := least(of[0]), least(of[1])
		b.table.add(fmt.Sprintf("an image of %.0f MiB is %s: the registry", mib(size), what), "%.2f CPU-s, RSS %.0f MiB; distribution %.2f CPU-s, RSS %.0f MiB; %.2f ×",
			"CPU ≤ 0.8 × distribution, RSS ≤ 64 MiB", a, mib(rss[0]), k, mib(rss[1]), a/k)
	}
	return nil
}

// registrySite runs the site in dir, and returns where its registry is.
func (b *bench) registrySite(ctx context.Context, dir string) (*daemon, string, error) {
	addr, err := freePort(ctx)
	if err != nil {
		return nil, "", err
	}
	d := &daemon{cmd: b.command(ctx, "--quiet", "site", "run", dir, "--listen", addr)}
	d.pids = func() ([]int, error) { return []int{d.cmd.Process.Pid}, nil }
	if err := d.cmd.Start(); err != nil {
		return nil, "", err
	}
	return d, addr, await(ctx, addr)
}

// distribution runs the rival with data in dir and the certificate of a site.
func distribution(ctx context.Context, program, dir, site string) (*daemon, string, error) {
	addr, err := freePort(ctx)
	if err != nil {
		return nil, "", err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, "", err
	}
	file := filepath.Join(dir, "config.yml")
	text := fmt.Sprintf("version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\nstorage: {filesystem: {rootdirectory: %q}}\nhttp: {addr: %q, tls: {certificate: %q, key: %q}}\n",
		filepath.Join(dir, "data"), addr, filepath.Join(site, "tls", "cert.pem"), filepath.Join(site, "tls", "key.pem"))
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return nil, "", err
	}
	d := &daemon{cmd: exec.CommandContext(ctx, program, "serve", file)}
	d.cmd.Env = append(os.Environ(), "OTEL_TRACES_EXPORTER=none") // it would send them somewhere
	d.pids = func() ([]int, error) { return []int{d.cmd.Process.Pid}, nil }
	if err := d.cmd.Start(); err != nil {
		return nil, "", err
	}
	return d, addr, await(ctx, addr)
}

// heavyImage makes an OCI image layout in dir with one layer of size random bytes.
func heavyImage(dir string, seed uint64, size int64) error {
	blobs := filepath.Join(dir, "blobs", "sha256")
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	if err := os.MkdirAll(blobs, 0o755); err != nil {
		return err
	}
	put := func(r io.Reader) (string, error) {
		f, err := os.Create(filepath.Join(blobs, "new"))
		if err != nil {
			return "", err
		}
		defer f.Close()
		h := sha256.New()
		if _, err := io.Copy(io.MultiWriter(f, h), r); err != nil {
			return "", err
		}
		name := hex.EncodeToString(h.Sum(nil))
		return name, os.Rename(f.Name(), filepath.Join(blobs, name))
	}
	var key [32]byte
	key[0] = byte(seed + 1)
	layer, err := put(io.LimitReader(rand.NewChaCha8(key), size))
	if err != nil {
		return err
	}
	config := fmt.Sprintf(`{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}`, layer)
	configName, err := put(strings.NewReader(config))
	if err != nil {
		return err
	}
	manifest := fmt.Sprintf(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:%s","size":%d},`+
		`"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"sha256:%s","size":%d}]}`, configName, len(config), layer, size)
	manifestName, err := put(strings.NewReader(manifest))
	if err != nil {
		return err
	}
	index := fmt.Sprintf(`{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:%s","size":%d}]}`, manifestName, len(manifest))
	for name, text := range map[string]string{"index.json": index, "oci-layout": `{"imageLayoutVersion":"1.0.0"}`} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	return nil
}
