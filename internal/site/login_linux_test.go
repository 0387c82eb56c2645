package site

import (
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"overland/internal/auth"
	"overland/internal/errs"
	"overland/internal/testkit/engines"
)

// distribution runs the registry of the distribution project, which wants the login robot:s3cret, and returns where.
func distribution(t *testing.T) (addr string, stop func()) {
	t.Helper()
	dir := t.TempDir()
	const hash = "$2y$04$abcdefghijklmnopqrstuuLZYjhNQAOdpbzt4WxWlUHjv1wsyH5DG" // of s3cret, as bcrypt
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr = l.Addr().String()
	users, config := filepath.Join(dir, "htpasswd"), filepath.Join(dir, "config.yml")
	text := fmt.Sprintf("version: 0.1\nlog: {level: error}\nstorage: {filesystem: {rootdirectory: %q}}\nhttp: {addr: %q, secret: x}\nauth: {htpasswd: {realm: x, path: %q}}\n",
		filepath.Join(dir, "data"), addr, users)
	if err := errors.Join(l.Close(), os.WriteFile(users, []byte("robot:"+hash+"\n"), 0o600), os.WriteFile(config, []byte(text), 0o600)); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(engines.Registry(t), "serve", config)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var said strings.Builder
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	stopped := false
	stop = func() {
		if !stopped {
			stopped = true
			_ = cmd.Process.Kill()
			<-ended
		}
	}
	t.Cleanup(stop)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if c, err := net.Dial("tcp", addr); err == nil {
			c.Close()
			return addr, stop
		}
		select {
		case err := <-ended:
			stopped = true
			t.Fatalf("the registry: %v\n%s", err, said.String())
		case <-tick.C:
		}
	}
}

// The registry of the distribution project, which wants a login, is mirrored for accounts of a site: images, their tags and
// what is about them, also when it is down. Its login is in no answer.
func TestARegistryThatWantsALogin(t *testing.T) {
	up, stopUp := distribution(t)
	login := base64.StdEncoding.EncodeToString([]byte("robot:s3cret"))
	dir := newSite(t)
	layout := filepath.Join(t.TempDir(), "layout")
	image(t, layout, "from elsewhere")
	certs := t.TempDir()
	skopeo := func(args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "skopeo", append([]string{"--insecure-policy"}, args...)...)
		cmd.Env = []string{"HOME=" + certs, "PATH=" + os.Getenv("PATH"), "XDG_RUNTIME_DIR=" + certs, "TMPDIR=" + certs}
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("skopeo %q: %v\n%s", args, err, out)
		}
		return string(out)
	}
	for _, tag := range []string{"v1", "v2"} {
		skopeo("copy", "-q", "--all", "--dest-tls-verify=false", "--dest-creds", "robot:s3cret", "oci:"+layout+":v1", "docker://"+up+"/library/app:"+tag)
	}
	settings := "site: 1\nregistry:\n  pull: %s\n  logins: auth.json\n  mirrors:\n    hub.example: http://" + up + "\n"
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	options := func(pull string) Options {
		t.Helper()
		write("site.yaml", fmt.Sprintf(settings, pull))
		s, err := ReadSettings(dir)
		if err != nil {
			t.Fatal(err)
		}
		return Options{Images: s.Registry.Options(dir)}
	}
	write("auth.json", fmt.Sprintf(`{"auths":{"hub.example":{"auth":%q}}}`, login))
	if err := Run(t.Context(), dir, options("anyone")); errs.KindOf(err) != errs.Invalid || !strings.Contains(errs.HintOf(err), "pull: accounts") {
		t.Fatalf("with a login, for everybody: %v", err)
	}
	url, _ := start(t, dir, options("accounts"))
	addr := addrOf(url)
	accounts, err := OpenAccounts(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	token, err := accounts.Make(t.Context(), "ann", []auth.Grant{{Action: auth.Pull, Pattern: "hub.example/**"}}, time.Time{})
	if err := errors.Join(err, accounts.Close()); err != nil {
		t.Fatal(err)
	}
	ca, err := Certificate(dir, addr)
	if err := errors.Join(err, os.WriteFile(filepath.Join(certs, "ca.crt"), ca, 0o600)); err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}}
	ask := func(path, token string) string {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+addr+"/v2/hub.example/library/app/"+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if token != "" {
			r.SetBasicAuth("ann", token)
		}
		resp, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, err := httputil.DumpResponse(resp, true)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	name := "docker://" + addr + "/hub.example/library/app"
	for _, alive := range []bool{true, false} {
		if !alive {
			stopUp()
		}
		tags := skopeo("list-tags", "--cert-dir", certs, "--creds", "ann:"+token, name)
		if !strings.Contains(tags, `"v1"`) || !strings.Contains(tags, `"v2"`) {
			t.Errorf("up %v: %s", alive, tags)
		}
		skopeo("copy", "-q", "--all", "--src-cert-dir", certs, "--src-creds", "ann:"+token, name+":v1", "dir:"+t.TempDir())
		d := strings.TrimSpace(skopeo("inspect", "--no-tags", "--format", "{{.Digest}}", "--cert-dir", certs, "--creds", "ann:"+token, name+":v1"))
		if got := ask("referrers/"+d, token); !strings.Contains(got, "200 OK") || !strings.Contains(got, `"manifests":[]`) {
			t.Errorf("up %v: referrers: %s", alive, got)
		}
		for _, got := range []string{ask("manifests/v1", token), ask("manifests/v1", ""), ask("manifests/v9", token)} {
			if strings.Contains(got, login) || strings.Contains(got, "s3cret") {
				t.Errorf("the login is in %s", got)
			}
		}
		if got := ask("manifests/v1", ""); !strings.Contains(got, "401 Unauthorized") {
			t.Errorf("without an account: %s", got)
		}
	}
}
