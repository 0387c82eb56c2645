package npm_test

import (
	"os"
	"path/filepath"
	"testing"

	"overland/internal/ecosystem/npm"
)

// The registries that a project names count, less than the environment's and more than the user's;
// those of a folder above its repository do not.
func TestTheRegistriesOfAProject(t *testing.T) {
	above := t.TempDir()
	project := filepath.Join(above, "p")
	user := filepath.Join(t.TempDir(), "npmrc")
	for path, text := range map[string]string{
		filepath.Join(above, ".npmrc"):          "registry=https://above.invalid/\n@bud:registry=https://above.invalid/\n",
		filepath.Join(project, ".npmrc"):        "registry = \"https://project.invalid/npm\" \n@leaf:registry=https://project.invalid/leaf/\n",
		filepath.Join(project, "web", ".npmrc"): "@leaf:registry=https://near.invalid/\n@pot:registry=https://${HOME}.invalid/\n@cup:registry=https://project.invalid/\n",
		filepath.Join(project, ".git", "HEAD"):  "",
		user:                                    "registry=https://user.invalid/\n@pot:registry=https://${POT}.invalid/\n",
	} {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("npm_config_userconfig", user)
	t.Setenv("npm_config_@cup:registry", "https://environment.invalid/")
	t.Setenv("POT", "pot")
	c, err := npm.MachineConfig(t.Context(), filepath.Join(project, "web"))
	if err != nil || c.Registry != "https://project.invalid/npm" {
		t.Errorf("%+v, %v", c, err)
	}
	for scope, want := range map[string]string{
		"@leaf": "https://near.invalid/", "@pot": "https://pot.invalid/", "@cup": "https://environment.invalid/", "@bud": "",
	} {
		if c.Scopes[scope] != want {
			t.Errorf("%s: %q, want %q", scope, c.Scopes[scope], want)
		}
	}
	if c, err := npm.MachineConfig(t.Context(), ""); err != nil || c.Registry != "https://user.invalid/" {
		t.Errorf("no project: %+v, %v", c, err)
	}
}
