package session

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"overland/internal/confine/cell"
	"overland/internal/ecosystem/tool"
	"overland/internal/environ"
	"overland/internal/fsx"
)

// direct are the hosts that clients reach without a proxy: what the command itself serves.
const direct = "127.0.0.1,localhost,::1"

// agent is what git calls itself, to whatever it asks: its own version stands in what it sends, and
// another git would not find what was recorded.
const agent = "git/2.39.5 (overland)"

// The variables in which git takes settings, counted from 0.
const (
	gitCount = "GIT_CONFIG_COUNT"
	gitKey   = "GIT_CONFIG_KEY_"
	gitValue = "GIT_CONFIG_VALUE_"
)

// lead adds to set what leads clients to the listener at addr that do not heed the proxy
// variables, or prefer their own settings to them.
func (s *session) lead(ctx context.Context, set map[string]string, addr string) error {
	base := "http://" + addr
	set["NODE_USE_ENV_PROXY"] = "1" // fetch of node 24 and later
	// yarn 2 and later; the first yarn has the same settings.
	set["YARN_HTTP_PROXY"], set["YARN_HTTPS_PROXY"] = base, base
	set["YARN_ENABLE_TELEMETRY"] = "0"
	if _, own := environ.Lookup(s.o.Environ, "GIT_USER_AGENT"); !own {
		set["GIT_USER_AGENT"] = agent
	}
	s.wait(set)
	s.git(ctx, set, base)
	if err := s.java(set, addr); err != nil {
		return err
	}
	if err := s.curlrc(set, base); err != nil {
		return err
	}
	return s.wgetrc(set, base)
}

// password matches one in an address, which git does not compare; a command must not know it.
var password = regexp.MustCompile(`(://[^/@:]*):[^/@]*@`)

// timeouts are those of clients, in their own units, each with the other names of the same
// setting. What is rewritten for a client, or decoded, comes when the whole is there, and the recorder
// itself ends what is silent.
func timeouts() [][]string {
	const seconds, milliseconds = "86400", "86400000"
	return [][]string{
		{seconds, "PIP_DEFAULT_TIMEOUT", "PIP_TIMEOUT"},
		{milliseconds, "npm_config_fetch_timeout", "NPM_CONFIG_FETCH_TIMEOUT"}, // pnpm's too
		{milliseconds, "pnpm_config_fetch_timeout", "PNPM_CONFIG_FETCH_TIMEOUT"},
		// Of yarn 2 and later, which refuses to start when it sees yarn 1's, YARN_NETWORK_TIMEOUT. npm warns of
		// npm_config_network_timeout, which yarn 1 heeds too. It hears bytes while they come.
		{milliseconds, "YARN_HTTP_TIMEOUT"},
		{seconds, "CARGO_HTTP_TIMEOUT", "HTTP_TIMEOUT"},
		{seconds, "UV_HTTP_TIMEOUT", "HTTP_TIMEOUT"},
		{seconds, "POETRY_REQUESTS_TIMEOUT"},
	}
}

// wait adds to set the time-outs that the caller has not set.
func (s *session) wait(set map[string]string) {
	for _, p := range timeouts() {
		if !slices.ContainsFunc(p[1:], func(name string) bool { _, own := environ.Lookup(s.o.Environ, name); return own }) {
			set[p[1]] = p[0]
		}
	}
}

// git overrides the proxies and the authorities that git's files name, the user's and those of the
// project's own repository. The more exact address counts there, so each of them is named again.
func (s *session) git(ctx context.Context, set map[string]string, base string) {
	n, err := strconv.Atoi(value(s.o.Environ, gitCount))
	if err != nil || n < 0 {
		n = 0
	}
	add := func(key, value string) {
		set[gitKey+strconv.Itoa(n)], set[gitValue+strconv.Itoa(n)] = key, value
		n++
	}
	add("http.proxy", base)
	for _, key := range s.gitNames(ctx) {
		if strings.HasSuffix(key, ".proxy") {
			add(key, base)
		} else {
			add(key, set["GIT_SSL_CAINFO"])
		}
	}
	set[gitCount] = strconv.Itoa(n)
}

// gitNames returns the settings of a proxy or an authority for one address or remote in git's files,
// sorted. A replay does not see the user's.
func (s *session) gitNames(ctx context.Context) (list []string) {
	if !tool.Installed("git") {
		return nil
	}
	const names = `^(http\..*\.(proxy|sslcainfo)|remote\..*\.proxy)$`
	var places [][]string
	if s.recording {
		places = append(places, nil)
	}
	for _, file := range gitFiles(cmp.Or(s.o.WorkDir, ".")) {
		places = append(places, []string{"--file", file})
	}
	for _, place := range places {
		argv := slices.Concat([]string{"git", "config"}, place, []string{"--includes", "--name-only", "--get-regexp", names})
		out, _ := tool.Ask(ctx, tool.Question{Argv: argv, Environ: s.o.Environ, Keep: []string{"GIT_CONFIG"}}) // none is exit code 1
		for line := range strings.Lines(string(out)) {
			if key := password.ReplaceAllString(strings.TrimSpace(line), "$1@"); strings.HasPrefix(key, "http.") || strings.HasPrefix(key, "remote.") {
				list = append(list, key)
			}
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// gitFiles returns the files with the settings of the repository that holds dir, and of those in it:
// its submodules.
func gitFiles(dir string) (list []string) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil
	}
	at := filepath.Join(dir, ".git")
	for _, err = os.Lstat(at); err != nil && filepath.Dir(dir) != dir; _, err = os.Lstat(at) {
		dir = filepath.Dir(dir)
		at = filepath.Join(dir, ".git")
	}
	const most = 4 << 10
	// A submodule and a further working tree have a file that says where theirs is.
	if b, err := fsx.ReadFile(at, most); err == nil {
		to, _ := strings.CutPrefix(strings.TrimSpace(string(b)), "gitdir: ")
		at = relative(dir, to)
	}
	if b, err := fsx.ReadFile(filepath.Join(at, "commondir"), most); err == nil {
		at = relative(at, strings.TrimSpace(string(b)))
	}
	for _, below := range []string{"config", "config.worktree", "modules/*/config", "modules/*/*/config", "modules/*/modules/*/config"} {
		found, _ := filepath.Glob(filepath.Join(escapeGlob(at), below)) // the pattern is a valid one
		list = append(list, found...)
	}
	return list
}

// relative returns path, which is meant from dir.
func relative(dir, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}

// escapeGlob returns the pattern that matches path alone.
func escapeGlob(path string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(path)
}

// java points every Java program at base. Java prints the variable to stderr, so only a machine
// with Java gets it.
func (s *session) java(set map[string]string, addr string) error {
	host, port, err := net.SplitHostPort(addr)
	if err != nil || !tool.Installed("java") {
		return err
	}
	file := filepath.Join(s.caches, javaFile)
	const mode = 0o600
	if err := os.WriteFile(file, trustStore(s.authority), mode); err != nil {
		return err
	}
	options := []string{value(s.o.Environ, "JAVA_TOOL_OPTIONS")}
	for _, scheme := range []string{"http", "https"} {
		options = append(options, "-D"+scheme+".proxyHost="+host, "-D"+scheme+".proxyPort="+port)
	}
	options = append(options, "-Dhttp.nonProxyHosts=localhost|127.0.0.1|[::1]", "-Djavax.net.ssl.trustStore="+file)
	set["JAVA_TOOL_OPTIONS"] = strings.TrimSpace(strings.Join(options, " "))
	return nil
}

// Files in a session's folder.
const (
	authorityFile = "ca.pem"
	wgetFile      = "wgetrc"
	curlHome      = "curl"
	javaFile      = "java.jks"
)

// settingsMost is the longest file of a client's settings that is read, in bytes.
const settingsMost = 1 << 20

// curlrc puts the session's proxy and authorities behind the settings of the user's curl, which
// may name others. Without such a file curl heeds its variables. In a cell there is none, and what a
// user has may hold logins.
func (s *session) curlrc(set map[string]string, base string) error {
	if !s.recording && s.o.Isolation != cell.None {
		return nil
	}
	var dirs []string
	for _, name := range []string{"CURL_HOME", "XDG_CONFIG_HOME", "HOME"} {
		if dir := value(s.o.Environ, name); filepath.IsAbs(dir) {
			dirs = append(dirs, dir)
		}
	}
	for _, dir := range dirs {
		b, err := fsx.ReadFile(filepath.Join(dir, ".curlrc"), settingsMost)
		if err != nil {
			continue
		}
		home := filepath.Join(s.caches, curlHome)
		set["CURL_HOME"] = home
		const dirMode, mode = 0o700, 0o600
		if err := os.MkdirAll(home, dirMode); err != nil {
			return err
		}
		b = fmt.Appendf(b, "\nproxy = %q\npreproxy = \"\"\nnoproxy = %q\ncacert = %q\n", base, direct, set["CURL_CA_BUNDLE"])
		return os.WriteFile(filepath.Join(home, ".curlrc"), b, mode)
	}
	return nil
}

// wgetrc writes a file with settings of wget, which has no variable for certificates. A recording
// has the user's settings too, which may hold passwords, and proxies that would be asked first.
func (s *session) wgetrc(set map[string]string, base string) error {
	var b []byte
	if s.recording {
		old := value(s.o.Environ, "WGETRC")
		if old == "" {
			old = filepath.Join(value(s.o.Environ, "HOME"), ".wgetrc")
		}
		b, _ = fsx.ReadFile(old, settingsMost) // wget passes over one that it cannot read
	}
	path := filepath.Join(s.caches, wgetFile)
	set["WGETRC"] = path
	const mode = 0o600
	return os.WriteFile(path, append(b, wgetSettings(base, s.ca)...), mode)
}

// wgetSettings has wget go through base, and trust the certificates in the file ca.
func wgetSettings(base, ca string) []byte {
	return fmt.Appendf(nil, "\nuse_proxy = on\nhttp_proxy = %s\nhttps_proxy = %s\nno_proxy = %s\nca_certificate = %s\n", base, base, direct, ca)
}
