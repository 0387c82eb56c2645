package session

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"overland/internal/environ"
	"overland/internal/fsx"
)

// home is where a tool without a room in ecosystem/ keeps what it has fetched.
type home struct {
	variable string // which moves it
	below    string // where it is in a session's folder
	asked    bool   // only for a caller who sets the variable, or whose files move the home: the tool's default is below XDG_CACHE_HOME
	// user is where it is below HOME, and settings are what a recording needs of that: files, and
	// folders of files.
	user     string
	settings []string
}

// homes are moved so that what they hold already is fetched, and so recorded. Programs and
// packages that a person installs with these tools stay where they are.
func homes() []home {
	return []home{
		{variable: "XDG_CACHE_HOME", below: "cache"}, // uv, corepack, yarn 1, deno, poetry, composer and many more
		{variable: "YARN_GLOBAL_FOLDER", below: "yarn"},
		{variable: "PNPM_HOME", below: "pnpm"}, // its store, and the versions of pnpm that projects ask for
		{variable: "pnpm_config_store_dir", below: "pnpm/store"},
		{variable: "UV_CACHE_DIR", below: "uv"}, // a project's uv.toml and poetry.toml may name another
		{variable: "POETRY_CACHE_DIR", below: "poetry"},
		{variable: "BUN_INSTALL_CACHE_DIR", below: "bun"},
		{variable: "NUGET_PACKAGES", below: "nuget/packages"},
		{variable: "NUGET_HTTP_CACHE_PATH", below: "nuget/http"},
		{variable: "CONDA_PKGS_DIRS", below: "conda"},
		{variable: "BUNDLE_USER_CACHE", below: "bundle"},
		{variable: "GRADLE_USER_HOME", below: "gradle", user: ".gradle", settings: []string{"gradle.properties", "init.gradle", "init.gradle.kts", "init.d"}},

		{variable: "GRADLE_RO_DEP_CACHE", below: "gradle-read-only", asked: true}, // asked before its own caches
		{variable: "UV_PYTHON_CACHE_DIR", below: "uv-python", asked: true},        // archives of Pythons, beside its cache
		{variable: "YARN_CACHE_FOLDER", below: "yarn/cache", asked: true},         // unasked it would be a project's own for yarn 2 and later
		{variable: "npm_config_store_dir", below: "pnpm/store", asked: true},
		{variable: "NPM_CONFIG_STORE_DIR", below: "pnpm/store", asked: true},
		{variable: "COREPACK_HOME", below: "corepack", asked: true},
		{variable: "DENO_DIR", below: "deno", asked: true},
		{variable: "COMPOSER_CACHE_DIR", below: "composer", asked: true},
		{variable: "HELM_CACHE_HOME", below: "helm", asked: true},
		{variable: "COURSIER_CACHE", below: "coursier", asked: true},
		{variable: "CYPRESS_CACHE_FOLDER", below: "cypress", asked: true},
		{variable: "electron_config_cache", below: "electron", asked: true},
		{variable: "TF_PLUGIN_CACHE_DIR", below: "terraform", asked: true},
	}
}

// moveHomes adds to set the variables that give each tool an empty home below the session's folder.
func (s *session) moveHomes(set map[string]string) error {
	wanted, full := s.moved()
	if s.recording {
		s.unrecorded = append(s.unrecorded, full...)
	}
	for _, h := range homes() {
		old, isSet := environ.Lookup(s.o.Environ, h.variable)
		if h.asked && !isSet && !wanted[h.variable] {
			continue
		}
		dir := filepath.Join(s.caches, h.below)
		set[h.variable] = dir
		const mode = 0o700
		if err := os.MkdirAll(dir, mode); err != nil {
			return err
		}
		if old == "" {
			old = filepath.Join(value(s.o.Environ, "HOME"), h.user)
		}
		if !s.recording || len(h.settings) == 0 || !filepath.IsAbs(old) {
			continue // a replay needs no logins, and sees no home
		}
		for _, name := range h.settings {
			if err := copySettings(filepath.Join(dir, name), filepath.Join(old, name)); err != nil {
				return err
			}
		}
	}
	const local = "-Dmaven.repo.local="
	set["MAVEN_OPTS"] = strings.TrimSpace(value(s.o.Environ, "MAVEN_OPTS") + " " + local + filepath.Join(s.caches, "maven"))
	return nil
}

// copySettings copies the file from, or the files in the folder from, to to. What cannot be read is
// left out: the tool itself cannot read it either.
func copySettings(to, from string) error {
	const dirMode = 0o700
	list, err := os.ReadDir(from)
	if err != nil {
		return copyFile(to, from)
	}
	if err := os.MkdirAll(to, dirMode); err != nil {
		return err
	}
	for _, d := range list {
		if d.Type()&fs.ModeType != 0 {
			continue
		}
		if err := copyFile(filepath.Join(to, d.Name()), filepath.Join(from, d.Name())); err != nil {
			return err
		}
	}
	return nil
}

func copyFile(to, from string) error {
	const most, mode = 4 << 20, 0o600
	if b, err := fsx.ReadFile(from, most); err == nil {
		return os.WriteFile(to, b, mode)
	}
	return nil
}
