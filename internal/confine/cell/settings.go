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
	return []string{
		"npmrc", "pip.conf", "gitconfig", "git-credentials", "netrc", "wgetrc", "curlrc", "yarnrc", "bunfig.toml",
		"settings.xml", "settings-security.xml", // Maven's
	}
}

// etc are the settings in /etc, as patterns, without which programs below /usr do not work or do something
// else: a package of a distribution has a link to them in its own folder. What confine.System shows beside
// them is what any program needs to start.
func etc() []string {
	return []string{
		"java", "java-*", // links of every JVM's conf: which security providers and authorities there are
		"maven", "ant", "ant.conf", "R", "texmf", "php", "dotnet", "mono", "erlang", "groff", "ghostscript", "ImageMagick-*",
		"xml", "sgml", // catalogs: without them tools ask the network for document types
		"crypto-policies", "pki/ca-trust/extracted", "pki/java", // Fedora's: pki/tls/certs are links to there
		"lsb-release", "redhat-release", "fedora-release", "system-release", "arch-release", // scripts read them
		"mke2fs.conf", "xattr.conf", "locale.alias", "papersize", "host.conf", "gai.conf", "networks", "rpc", "shells",
		"OpenCL", "vulkan", "glvnd",
	}
}

// etcMounts returns what shows those settings of the machine whose /etc is in dir, without what may hold
// logins.
func etcMounts(dir string) (list []confine.Mount) {
	for _, pattern := range etc() {
		found, _ := filepath.Glob(filepath.Join(dir, pattern)) // the pattern is a valid one
		for _, path := range found {
			if hidden := withoutSettings(path); hidden != nil {
				list = append(list, hidden...)
				continue
			}
			list = append(list, confine.Mount{Kind: confine.Optional, Source: path, Target: path})
		}
	}
	return list
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
