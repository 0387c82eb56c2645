package session

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"overland/internal/fsx"
)

// mover is a setting of a project or a person that moves a tool's home, and that the variables of a session
// do not override by themselves.
type mover struct {
	file     string
	setting  *regexp.Regexp // its first group is the folder
	variable string         // which overrides it, and would disturb others where the setting is not; "" = none does
}

// movers were found by trying: pnpm up to 10 heeds no variable for what stands in pnpm-workspace.yaml, and
// npm warns of a variable that is pnpm's alone.
func movers() []mover {
	return []mover{
		{".npmrc", regexp.MustCompile(`(?m)^\s*store-dir\s*=\s*(.+)$`), "npm_config_store_dir"},
		{".yarnrc", regexp.MustCompile(`(?m)^\s*"?cache-folder"?\s+(.+)$`), "YARN_CACHE_FOLDER"},
		{".yarnrc", regexp.MustCompile(`(?m)^\s*"?--(?:\w+\.)?cache-folder"?\s+(.+)$`), ""},
		{"pnpm-workspace.yaml", regexp.MustCompile(`(?m)^storeDir\s*:\s*(.+)$`), ""},
	}
}

// moved returns the variables that the settings in movers ask for, and those homes that nothing overrides and
// that hold something already: a recording lacks it.
func (s *session) moved() (variables map[string]bool, full []error) {
	variables = map[string]bool{}
	var dirs []string
	for dir, err := filepath.Abs(cmp.Or(s.o.WorkDir, ".")); err == nil; dir = filepath.Dir(dir) {
		if dirs = append(dirs, dir); dir == filepath.Dir(dir) {
			break
		}
	}
	home := value(s.o.Environ, "HOME")
	if s.recording && filepath.IsAbs(home) {
		dirs = append(dirs, home)
	}
	for _, m := range movers() {
		for _, dir := range dirs {
			path := filepath.Join(dir, m.file)
			b, err := fsx.ReadFile(path, settingsMost)
			found := m.setting.FindSubmatch(b)
			if err != nil || found == nil {
				continue
			}
			if m.variable != "" {
				variables[m.variable] = true
				continue
			}
			at := strings.Trim(strings.TrimSpace(string(found[1])), `"'`)
			if rest, ok := strings.CutPrefix(at, "~/"); ok {
				at = filepath.Join(home, rest)
			}
			if list, err := os.ReadDir(relative(dir, at)); err == nil && len(list) > 0 {
				full = append(full, fmt.Errorf("%s keeps fetched packages in %s, and no variable overrides that: remove the folder, or the line, and record again", path, at))
			}
		}
	}
	return variables, full
}
