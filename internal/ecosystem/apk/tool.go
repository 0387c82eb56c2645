package apk

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"overland/internal/ecosystem/tool"
)

// Tool is apk, and whoever else asks the machine's repositories: a builder does without apk. The only setting that it takes from its environment is the proxy. So its requests
// are recognised by their URLs, even when it works on another root file system.
func Tool() tool.Tool {
	return tool.Tool{
		Name:    Name,
		Command: "apk",
		Record:  forSession,
		Serve:   forCache,
		Line:    shellLine,
	}
}

func forSession(_ context.Context, s tool.Session) (*tool.Client, error) {
	dir := ""
	if s.Etc != "" {
		dir = filepath.Join(s.Etc, "apk")
	}
	list, err := MachineRepositories(dir)
	if err != nil {
		return nil, err
	}
	if len(list) == 0 && !tool.Installed(Name) {
		return nil, nil
	}
	p, err := New(list, nil)
	if err != nil {
		return nil, err
	}
	return &tool.Client{Protocol: p, Addresses: p.addresses(), Environ: environ}, nil
}

// environ puts an apk into PATH that has an empty cache of its own: an index in the machine's cache
// would not be requested, and so not recorded.
func environ(at tool.Place) ([]string, error) {
	if !at.OwnCaches || !tool.Installed(Name) {
		return nil, nil
	}
	path, err := exec.LookPath("apk")
	if err != nil {
		return nil, err
	}
	const dirMode, mode = 0o700, 0o700
	bin, cache := filepath.Join(at.Dir, "bin"), filepath.Join(at.Dir, "apk")
	for _, dir := range []string{bin, cache} {
		if err := os.MkdirAll(dir, dirMode); err != nil {
			return nil, err
		}
	}
	text := fmt.Sprintf("#!/bin/sh\nexec %s --cache-dir %s \"$@\"\n", quote(path), quote(cache))
	before := ""
	for _, kv := range at.Environ { // the last one counts
		if v, ok := strings.CutPrefix(kv, "PATH="); ok {
			before = v
		}
	}
	return []string{"PATH=" + bin + string(filepath.ListSeparator) + before}, os.WriteFile(filepath.Join(bin, "apk"), []byte(text), mode)
}

// quote returns s as one word of a shell.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// forCache opens the repositories that were given, "URL" or
// "[keys=/FOLDER] URL", else this machine's.
func forCache(_ context.Context, s tool.Serving) (*tool.Server, error) {
	var list []Repository
	for _, own := range s.Upstreams {
		r, err := ParseRepository(own)
		if err != nil {
			return nil, err
		}
		list = append(list, r)
	}
	if len(list) == 0 {
		var err error
		if list, err = MachineRepositories(""); err != nil {
			return nil, err
		}
	}
	p, err := New(list, s.Cache)
	return &tool.Server{Protocol: p}, err
}

// shellLine puts the cache before each URL in the repositories file, in place of a
// cache that was put there before.
func shellLine(f tool.Face) string {
	mount := f.Mount(Name) + "/"
	_, address, _ := strings.Cut(f.Base, "://")
	before := pattern(address) + "(/at/[^/]+)?/" + Name + "/"
	return fmt.Sprintf(`sed -i -E '/^(@[^ ]+ +)?https?:/s#https?://(%s)?#%s#' /etc/apk/repositories && apk update`,
		before, strings.ReplaceAll(mount, "&", `\&`))
}

// pattern returns an extended regular expression that matches s, which has no backslash, alone; where it can, without a
// backslash, which the echo of some shells would read.
func pattern(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case r == '^':
			b.WriteString(`\^`)
		case strings.ContainsRune(".[]$*+?(){}|", r):
			b.WriteString("[" + string(r) + "]")
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}
