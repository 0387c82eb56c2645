package session

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"overland/internal/ecosystem/apk"
)

// openAPK opens the protocol of the repositories of this machine. apk takes no setting from its environment but the proxy:
// so what it asks the proxy for is told by its URL, also when it works on another root file system.
func (s *session) openAPK() error {
	list, err := apk.MachineRepositories(s.o.apkDir)
	if err != nil {
		return err
	}
	s.apk, err = apk.New(list, nil)
	return err
}

// ownAPK puts an apk into PATH that has a cache of its own, empty at first: in the machine's there may be an index, which
// is then not asked for.
func (s *session) ownAPK(set map[string]string) error {
	if s.apk == nil {
		return nil
	}
	path, err := exec.LookPath("apk")
	if err != nil {
		return err
	}
	const dirMode, mode = 0o700, 0o700
	bin, cache := filepath.Join(s.caches, "bin"), filepath.Join(s.caches, "apk")
	for _, dir := range []string{bin, cache} {
		if err := os.MkdirAll(dir, dirMode); err != nil {
			return err
		}
	}
	text := fmt.Sprintf("#!/bin/sh\nexec %s --cache-dir %s \"$@\"\n", quote(path), quote(cache))
	set["PATH"] = bin + string(filepath.ListSeparator) + value(s.o.Environ, "PATH")
	return os.WriteFile(filepath.Join(bin, "apk"), []byte(text), mode)
}

// quote returns s as one word of a shell.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
