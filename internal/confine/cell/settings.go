package cell

import (
	"os"
	"path/filepath"
	"slices"

	"overland/internal/confine"
)

// settingsFolders are folders of the machine's programs in which tools keep settings of the whole
// machine as well; what lies in another comes after it.
func settingsFolders() []string { return []string{"/usr", "/usr/local", "/usr/etc", "/usr/local/etc"} }

// loginFiles are the settings there that may hold logins, as those in /etc do, which no command sees.
func loginFiles() []string {
	return []string{"npmrc", "pip.conf", "gitconfig", "git-credentials", "netrc", "wgetrc", "curlrc", "yarnrc", "bunfig.toml"}
}

// withoutSettings returns what shows a folder without the files that may hold logins; nothing when
// there is none in it, or no such folder. All else in it stays: interpreters read it.
func withoutSettings(dir string) []confine.Mount {
	list, err := os.ReadDir(dir)
	hidden := func(e os.DirEntry) bool { return slices.Contains(loginFiles(), e.Name()) }
	if err != nil || !slices.ContainsFunc(list, hidden) {
		return nil
	}
	mounts := []confine.Mount{{Kind: confine.Temp, Target: dir, Size: inMemory}}
	for _, e := range list {
		path := filepath.Join(dir, e.Name())
		if hidden(e) {
			continue
		}
		m := confine.Mount{Kind: confine.Optional, Source: path, Target: path}
		if to, err := os.Readlink(path); err == nil {
			m.Kind, m.Source = confine.Symlink, to
		}
		mounts = append(mounts, m)
	}
	return mounts
}
