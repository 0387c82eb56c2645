package session

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"overland/internal/errs"
)

// raisers are programs that are nothing without the rights of another user. In the user namespace of
// somebody who is not root they have none, and say something that nobody understands.
func raisers() []string { return []string{"sudo", "su", "doas", "pkexec", "newuidmap", "newgidmap"} }

// rights returns an error when the command itself needs rights that isolation takes from it.
func (s *session) rights() error {
	if os.Geteuid() == 0 {
		return nil
	}
	path, err := exec.LookPath(s.o.Command[0])
	if err != nil {
		return err
	}
	if info, err := os.Stat(path); err != nil || info.Mode()&(os.ModeSetuid|os.ModeSetgid) == 0 {
		return err
	}
	return errs.Errorf(errs.Denied, "%s gets the rights of another user, which it cannot have there", s.o.Command[0])
}

// withoutRaisers returns env with a PATH in which programs of this name say why they do not work.
func (s *session) withoutRaisers(env []string) ([]string, error) {
	if os.Geteuid() == 0 {
		return env, nil
	}
	bin := filepath.Join(s.caches, "raisers")
	const dirMode, mode = 0o700, 0o700
	for _, name := range raisers() {
		if _, err := exec.LookPath(name); err != nil {
			continue // a script that looks for one finds none
		}
		if err := os.MkdirAll(bin, dirMode); err != nil {
			return nil, err
		}
		text := fmt.Sprintf("#!/bin/sh\necho 'overland: %s does not work in an isolated recording, unless root records: overland record --isolated=false' >&2\nexit 1\n", name)
		if err := os.WriteFile(filepath.Join(bin, name), []byte(text), mode); err != nil {
			return nil, err
		}
	}
	return merge(env, map[string]string{"PATH": bin + string(filepath.ListSeparator) + value(env, "PATH")}), nil
}
