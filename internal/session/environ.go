package session

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"

	"overland/internal/confine"
	"overland/internal/environ"
)

// The variables that tell a command about its session.
const (
	envKind = "OVERLAND_SESSION"     // Recording or Replaying
	envSet  = "OVERLAND_SESSION_SET" // the names of the variables that the session set, including these
	envDir  = "OVERLAND_SESSION_DIR" // where its tools have their caches
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

// Confined reports whether this process, which has this environment, runs in the cell of a replay.
// That there is a cell is the kernel's word: a Makefile can set variables.
func Confined(environ []string) bool { return Kind(environ) == Replaying && confine.Held() }

// Own returns the part of environ that the session set. A program in the session passes only this
// on to a child that must not see the rest of the caller's environment.
func Own(environ []string) []string {
	names := strings.Fields(value(environ, envSet))
	return gitSettings(slices.DeleteFunc(slices.Clone(environ), func(kv string) bool {
		name, _, _ := strings.Cut(kv, "=")
		return !slices.Contains(names, name)
	}))
}

// gitSettings returns list with the settings of git that are in it counted from 0: git refuses a
// count of which some are missing.
func gitSettings(list []string) []string {
	n, _ := strconv.Atoi(value(list, gitCount))
	left := 0
	set := map[string]string{}
	for i := range n {
		key, ok := environ.Lookup(list, gitKey+strconv.Itoa(i))
		if !ok {
			continue
		}
		set[gitKey+strconv.Itoa(left)], set[gitValue+strconv.Itoa(left)] = key, value(list, gitValue+strconv.Itoa(i))
		left++
	}
	if n == 0 {
		return list
	}
	set[gitCount] = strconv.Itoa(left)
	rest := slices.DeleteFunc(list, func(kv string) bool { return strings.HasPrefix(kv, gitKey) || strings.HasPrefix(kv, gitValue) })
	return merge(rest, set)
}

// value returns the value of the variable name in list; "" = it is empty or not set.
func value(list []string, name string) string {
	v, _ := environ.Lookup(list, name)
	return v
}

// environ returns the command's environment, which points everything that
// fetches at the listener at addr.
func (s *session) environ(ctx context.Context, addr string) ([]string, error) {
	base := "http://" + addr
	set := map[string]string{
		"NO_PROXY": direct, "no_proxy": direct,
		envKind: Replaying, envDir: s.caches,
	}
	if s.recording {
		set[envKind] = Recording
	}
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"} {
		set[name] = base
	}
	var err error
	for _, name := range []string{"SSL_CERT_FILE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO", "YARN_HTTPS_CA_FILE_PATH"} {
		if set[name], err = s.certificates(name); err != nil {
			return nil, err
		}
	}
	if !s.o.MachineCaches {
		if err := s.moveHomes(set); err != nil {
			return nil, err
		}
	}
	if err := s.lead(ctx, set, addr); err != nil {
		return nil, err
	}
	if err := s.toolEnviron(set, base); err != nil {
		return nil, err
	}
	set[envSet] = ""
	set[envSet] = strings.Join(slices.Sorted(maps.Keys(set)), " ")
	rest := slices.DeleteFunc(slices.Clone(s.o.Environ), func(kv string) bool {
		name, _, _ := strings.Cut(kv, "=")
		return strings.EqualFold(name, "ALL_PROXY") // unset and not empty: some clients read that as an address
	})
	return merge(rest, set), nil
}

// add adds the settings in list, NAME=VALUE, to set.
func add(set map[string]string, list []string) {
	for _, kv := range list {
		k, v, _ := strings.Cut(kv, "=")
		set[k] = v
	}
}

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
