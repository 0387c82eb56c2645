package session

import (
	"cmp"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"overland/internal/confine/cell"
	"overland/internal/environ"
)

// The variables that tell a command about its session.
const (
	envKind = "OVERLAND_SESSION"           // Recording or Replaying
	envSet  = "OVERLAND_SESSION_SET"       // the names of the variables that the session set, including these
	envDir  = "OVERLAND_SESSION_DIR"       // where its tools have their caches
	envCell = "OVERLAND_SESSION_ISOLATION" // of the command: cell.Full when it is in a cell
)

// The kinds of a session, as Kind returns them.
const (
	Recording = "record"
	Replaying = "replay"
)

// Kind returns the kind of session that a process with this environment runs in:
// Recording, Replaying, or "" for none.
func Kind(environ []string) string {
	switch kind := value(environ, envKind); kind {
	case Recording, Replaying:
		return kind
	}
	return ""
}

// Confined reports whether a process with this environment runs in the cell of a session.
func Confined(environ []string) bool {
	return Kind(environ) == Replaying && value(environ, envCell) == string(cell.Full)
}

// Own returns the part of environ that the session set. A program in the session passes only this
// on to a child that must not see the rest of the caller's environment.
func Own(environ []string) []string {
	names := strings.Fields(value(environ, envSet))
	return slices.DeleteFunc(slices.Clone(environ), func(kv string) bool {
		name, _, _ := strings.Cut(kv, "=")
		return !slices.Contains(names, name)
	})
}

// value returns the value of the variable name in list; "" = it is empty or not set.
func value(list []string, name string) string {
	v, _ := environ.Lookup(list, name)
	return v
}

// environ returns the command's environment, which points everything that
// fetches at the listener at addr.
func (s *session) environ(addr string) ([]string, error) {
	base := "http://" + addr
	set := map[string]string{
		"NO_PROXY": "127.0.0.1,localhost,::1", "no_proxy": "127.0.0.1,localhost,::1", // what the command itself serves
		"ALL_PROXY": "", "all_proxy": "",
		envKind: Replaying, envDir: s.caches, envCell: string(cmp.Or(s.o.Isolation, cell.Full)),
	}
	if s.recording {
		set[envKind], set[envCell] = Recording, string(cell.None)
	}
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"} {
		set[name] = base
	}
	for _, name := range []string{"SSL_CERT_FILE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO"} {
		set[name] = s.ca
	}
	if rc := s.wgetrc(); rc != "" {
		set["WGETRC"] = rc
	}
	if err := s.toolEnviron(set, base); err != nil {
		return nil, err
	}
	set[envSet] = ""
	set[envSet] = strings.Join(slices.Sorted(maps.Keys(set)), " ")
	return merge(s.o.Environ, set), nil
}

// add adds the settings in list, NAME=VALUE, to set.
func add(set map[string]string, list []string) {
	for _, kv := range list {
		k, v, _ := strings.Cut(kv, "=")
		set[k] = v
	}
}

// Files in a session's folder.
const (
	authorityFile = "ca.pem"
	wgetFile      = "wgetrc"
)

// wgetrc writes a file with settings of wget, and returns its path; "" on failure. wget has no
// variable for certificates. A recording has the user's settings too, which may hold passwords.
func (s *session) wgetrc() string {
	var b []byte
	if s.recording {
		old := os.Getenv("WGETRC")
		if old == "" {
			old = filepath.Join(os.Getenv("HOME"), ".wgetrc")
		}
		var err error
		if b, err = os.ReadFile(old); err != nil {
			b = nil
		}
	}
	path := filepath.Join(s.caches, wgetFile)
	const mode = 0o600
	if os.WriteFile(path, append(b, wgetSettings(s.ca)...), mode) != nil {
		return ""
	}
	return path
}

// wgetSettings has wget trust the certificates in the file ca.
func wgetSettings(ca string) []byte { return []byte("\nca_certificate = " + ca + "\n") }

// merge returns environ with the variables in set added or replaced.
func merge(environ []string, set map[string]string) []string {
	out := slices.DeleteFunc(slices.Clone(environ), func(kv string) bool {
		k, _, _ := strings.Cut(kv, "=")
		_, ours := set[k]
		return ours
	})
	for k, v := range set {
		out = append(out, k+"="+v)
	}
	slices.Sort(out)
	return out
}
