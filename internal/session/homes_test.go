package session

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"overland/internal/environ"
)

// Where tools that no test here can install keep what they have fetched, by their own documentation: the first variable
// that is set counts, with what lies below it.
var documented = []struct {
	tool  string
	cache [][2]string // variable, below it
	keeps []string    // what a person has there beside caches: settings, logins, programs. A session moves none of it
}{
	{"uv", [][2]string{{"UV_CACHE_DIR", ""}, {"XDG_CACHE_HOME", "uv"}, {"HOME", ".cache/uv"}}, []string{
		"UV_CONFIG_FILE", "UV_CREDENTIALS_DIR", "UV_TOOL_DIR", "UV_TOOL_BIN_DIR", "UV_PYTHON_INSTALL_DIR", "UV_PYTHON_BIN_DIR", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_BIN_HOME",
	}},
	{"uv's archives of Pythons", [][2]string{{"UV_PYTHON_CACHE_DIR", ""}, {"UV_CACHE_DIR", "python"}}, nil},
	{"poetry", [][2]string{{"POETRY_CACHE_DIR", ""}, {"XDG_CACHE_HOME", "pypoetry"}, {"HOME", ".cache/pypoetry"}}, []string{
		"POETRY_CONFIG_DIR", "POETRY_DATA_DIR", "POETRY_HOME", "POETRY_VIRTUALENVS_PATH",
	}},
	{"gradle", [][2]string{{"GRADLE_USER_HOME", "caches"}, {"HOME", ".gradle/caches"}}, []string{"GRADLE_HOME"}},
	{"gradle's wrapper", [][2]string{{"GRADLE_USER_HOME", "wrapper/dists"}, {"HOME", ".gradle/wrapper/dists"}}, nil},
	{"gradle's JDKs", [][2]string{{"GRADLE_USER_HOME", "jdks"}, {"HOME", ".gradle/jdks"}}, nil},
}

// place returns where a tool with the environment list looks.
func place(list []string, cache [][2]string) string {
	for _, c := range cache {
		if dir := value(list, c[0]); dir != "" {
			return filepath.Join(dir, c[1])
		}
	}
	return ""
}

// Whatever a person's variables say, the caches of tools are empty in a session, and what is the person's stays
// where it is.
func TestToolsWithoutARoomGetEmptyCaches(t *testing.T) {
	for name, own := range map[string]func(dir string) []string{
		"a person who set nothing": func(string) []string { return nil },
		"one who moved everything": func(dir string) (list []string) {
			for _, d := range documented {
				for _, c := range d.cache {
					list = append(list, c[0]+"="+filepath.Join(dir, c[0]))
				}
			}
			return append(list, "GRADLE_RO_DEP_CACHE="+filepath.Join(dir, "ro"), "HOME="+dir)
		},
	} {
		t.Run(name, func(t *testing.T) {
			home := t.TempDir()
			env := append([]string{"HOME=" + home}, own(home)...)
			for _, d := range documented {
				full := filepath.Join(place(env, d.cache), "fetched-before")
				if err := os.MkdirAll(full, 0o700); err != nil {
					t.Fatal(err)
				}
			}
			s := &session{o: Options{Environ: env, WorkDir: t.TempDir()}, caches: t.TempDir(), recording: true}
			set := map[string]string{}
			if err := s.moveHomes(set); err != nil {
				t.Fatal(err)
			}
			after := slices.Clone(env)
			for name, v := range set {
				after = append(slices.DeleteFunc(after, func(kv string) bool { return strings.HasPrefix(kv, name+"=") }), name+"="+v)
			}
			for _, d := range documented {
				at := place(after, d.cache)
				if list, err := os.ReadDir(at); !strings.HasPrefix(at, s.caches) || len(list) != 0 {
					t.Errorf("%s looks in %s: %v, %v", d.tool, at, list, err)
				}
				for _, name := range d.keeps {
					if v, moved := set[name]; moved {
						t.Errorf("%s: a person's own %s=%s", d.tool, name, v)
					}
				}
			}
			if _, had := environ.Lookup(env, "GRADLE_RO_DEP_CACHE"); had != strings.HasPrefix(set["GRADLE_RO_DEP_CACHE"], s.caches) {
				t.Errorf("gradle asks %q first", set["GRADLE_RO_DEP_CACHE"])
			}
		})
	}
}

// A recording has a person's settings of gradle, with the logins in them, from where that person has them; a replay has none.
func TestGradleKeepsItsSettings(t *testing.T) {
	home, other := t.TempDir(), t.TempDir()
	for _, dir := range []string{filepath.Join(home, ".gradle"), other} {
		for _, name := range []string{"gradle.properties", "init.gradle", "init.gradle.kts", "init.d/mirror.gradle", "init.d/deep/no.gradle", "caches/modules-2/m", "wrapper/dists/w", "jdks/j", "daemon/d"} {
			at := filepath.Join(dir, name)
			if err := os.MkdirAll(filepath.Dir(at), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(at, []byte(dir), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, c := range []struct {
		env       []string
		recording bool
		from      string // "" = nothing is taken over
	}{
		{[]string{"HOME=" + home}, true, filepath.Join(home, ".gradle")},
		{[]string{"HOME=" + home, "GRADLE_USER_HOME=" + other}, true, other},
		{[]string{"HOME=" + home}, false, ""},
	} {
		s := &session{o: Options{Environ: c.env, WorkDir: t.TempDir()}, caches: t.TempDir(), recording: c.recording}
		set := map[string]string{}
		if err := s.moveHomes(set); err != nil {
			t.Fatal(err)
		}
		var got []string
		err := filepath.WalkDir(set["GRADLE_USER_HOME"], func(path string, d os.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			name, _ := filepath.Rel(set["GRADLE_USER_HOME"], path)
			got = append(got, name)
			if b, err := os.ReadFile(path); err != nil || string(b) != c.from {
				t.Errorf("%s is of %q, not of %q: %v", name, b, c.from, err)
			}
			return nil
		})
		want := []string{"gradle.properties", "init.d/mirror.gradle", "init.gradle", "init.gradle.kts"}
		if c.from == "" {
			want = nil
		}
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%v: %v, %v", c.env, got, err)
		}
	}
}
