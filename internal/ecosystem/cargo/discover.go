package cargo

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/BurntSushi/toml"

	"overland/internal/ecosystem/plain"
	"overland/internal/ecosystem/tool"
	"overland/internal/errs"
	"overland/internal/httpx"
	"overland/internal/lockfile"
	"overland/internal/record"
	"overland/internal/store"
)

const patience = 20 * time.Second // for cargo to say where it would fetch from

// Home makes a CARGO_HOME in dir with the user's settings and, with logins, credentials, but without
// the crates that cargo already has. A file that cannot be read is left out: cargo uses its
// defaults, and reports what is missing.
func Home(dir string, logins bool) error {
	if logins {
		return copySettings(dir, whole, "config.toml", "config", "credentials.toml", "credentials")
	}
	return copySettings(dir, public, "config.toml", "config")
}

func whole(settings []byte) []byte { return settings }

// public returns settings without what may be secret: those whose names say so, the user's variables
// and proxy, and what an address says of a user. Of what is not TOML nothing is left.
func public(settings []byte) []byte {
	var all map[string]any
	if readTOML(settings, &all) != nil {
		return nil
	}
	delete(all, "env")
	delete(all, "http")
	withoutSecrets(all)
	var b bytes.Buffer
	if toml.NewEncoder(&b).Encode(all) != nil {
		return nil
	}
	return b.Bytes()
}

var secret = regexp.MustCompile(`(?i)token|secret|passw|credential`)

// withoutSecrets returns a value of TOML without its secrets; a table is changed.
func withoutSecrets(value any) any {
	switch value := value.(type) {
	case map[string]any:
		for name, v := range value {
			if secret.MatchString(name) {
				delete(value, name)
			} else {
				value[name] = withoutSecrets(v)
			}
		}
	case []map[string]any:
		for _, table := range value {
			withoutSecrets(table)
		}
	case []any:
		for i, v := range value {
			value[i] = withoutSecrets(v)
		}
	case string:
		return httpx.RedactedText(value)
	}
	return value
}

// userHome returns the user's own CARGO_HOME.
func userHome() string {
	return cmp.Or(os.Getenv("CARGO_HOME"), filepath.Join(os.Getenv("HOME"), ".cargo"))
}

// copySettings copies files of the user's CARGO_HOME into dir, each as change returns it.
func copySettings(dir string, change func([]byte) []byte, files ...string) error {
	old := userHome()
	const dirMode, mode = 0o700, 0o600
	if err := os.MkdirAll(dir, dirMode); err != nil {
		return err
	}
	for _, file := range files {
		if b, err := os.ReadFile(filepath.Join(old, file)); err == nil {
			if err := os.WriteFile(filepath.Join(dir, file), change(b), mode); err != nil {
				return err
			}
		}
	}
	return nil
}

// Discover returns the URL, with a trailing slash, of the sparse registry that cargo uses for
// crates-io, for a project in the folder project; "" = for none. It starts cargo with a project of
// its own that needs a crate, behind a proxy that answers nothing: cargo's first request names the
// registry, whether it is built in, or from a configuration file or the environment. cargo runs
// away from the user's project; of the project's configuration it is told what replaces crates-io
// (see replacements) and nothing else. If cargo is missing, or uses a git registry or vendored
// sources, the error is errs.NotFound.
func Discover(ctx context.Context, project string) (string, error) {
	none := errs.Hint(errs.Errorf(errs.NotFound, "cargo does not fetch from a sparse registry"), "cargo 1.70 and later do, unless configured otherwise")
	if !tool.Installed("cargo") {
		return "", none
	}
	replaced, ok := replacements(project)
	if !ok {
		return "", none
	}
	ca, err := plain.NewAuthority()
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	l := listener{secret: rand.Text()}
	addr, stop, err := l.listen(ctx, ca)
	if err != nil {
		return "", err
	}
	defer stop()
	q := tool.Question{Argv: []string{"cargo", "generate-lockfile", "--quiet"}, Keep: []string{"CARGO_"}}
	q.Prepare = func(dir string) (set, args []string, err error) {
		const mode = 0o600
		err = errors.Join(copySettings(dir, whole, "config.toml", "config"), // no credentials: a killed run leaves the folder behind
			os.WriteFile(filepath.Join(dir, "ca.pem"), ca.PEM(), mode),
			os.WriteFile(filepath.Join(dir, "Cargo.toml"), []byte("[package]\nname = \"probe\"\nversion = \"0.0.0\"\n[dependencies]\nanything = \"*\"\n[workspace]\n"), mode),
			os.Mkdir(filepath.Join(dir, "src"), fs.ModePerm),
			os.WriteFile(filepath.Join(dir, "src", "lib.rs"), nil, mode))
		set = []string{
			"CARGO_HOME=" + dir, "CARGO_HTTP_CAINFO=" + filepath.Join(dir, "ca.pem"), "CARGO_NET_RETRY=0",
			"RUSTUP_AUTO_INSTALL=0",
		}
		for _, name := range []string{"CARGO_HTTP_PROXY", "http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"} {
			set = append(set, name+"=http://cargo:"+l.secret+"@"+addr)
		}
		args = []string{"--manifest-path", filepath.Join(dir, "Cargo.toml")}
		for _, setting := range replaced {
			args = append(args, "--config", setting)
		}
		return set, args, err
	}
	_, _ = tool.Ask(ctx, q) // it fails: nothing is answered
	if l.registry() == "" {
		return "", none
	}
	return l.registry(), nil
}

// listener is the Getter of a proxy that holds nothing: it remembers the first
// config.json that is asked for.
type listener struct {
	secret string // of cargo: every user of the machine reaches the proxy

	mu    sync.Mutex
	found string
}

// Get implements record.Getter.
func (l *listener) Get(_ context.Context, _ record.Protocol, it record.Item) (lockfile.Entry, store.Blob, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if base, ok := strings.CutSuffix(it.Upstream, "/"+configFile); ok && l.found == "" {
		l.found = base + "/"
	}
	return lockfile.Entry{}, nil, errs.Errorf(errs.NotFound, "nothing is here")
}

func (l *listener) registry() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.found
}

// listen starts the proxy on an address of the loopback interface.
func (l *listener) listen(ctx context.Context, ca *plain.Authority) (addr string, stop func(), _ error) {
	conn, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	proxy := plain.NewProxy(l, plain.Protocol{}, ca, http.NotFoundHandler())
	srv := plain.Server(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		const field = "Proxy-Authorization"
		asked := http.Request{Header: http.Header{"Authorization": r.Header.Values(field)}}
		if _, secret, _ := asked.BasicAuth(); subtle.ConstantTimeCompare([]byte(secret), []byte(l.secret)) == 0 {
			http.Error(w, "this proxy is cargo's", http.StatusProxyAuthRequired)
			return
		}
		r.Header.Del(field)
		proxy.ServeHTTP(w, r)
	}))
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = srv.Serve(conn) // ends with Close
	}()
	return conn.Addr().String(), func() {
		_ = srv.Close()
		<-done
		_ = proxy.Close()
	}, nil
}
