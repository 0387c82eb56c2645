package apk_test

import (
	"os"
	"path/filepath"
	"testing"

	"overland/internal/ecosystem/apk"
	"overland/internal/ecosystem/tool"
)

// TestAMachineWithoutApkRecordsToo: a builder uses the configured repositories even where apk is not installed.
func TestAMachineWithoutApkRecordsToo(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	etc := t.TempDir()
	if c, err := apk.Tool().Record(t.Context(), tool.Session{Etc: etc}); c != nil || err != nil {
		t.Errorf("without repositories: %v %v", c, err)
	}
	if err := os.Mkdir(filepath.Join(etc, "apk"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(etc, "apk", "repositories"), []byte("http://mirror.invalid/alpine/v1/main\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	c, err := apk.Tool().Record(t.Context(), tool.Session{Etc: etc})
	if err != nil || c == nil || len(c.Addresses) != 1 {
		t.Fatalf("%+v %v", c, err)
	}
	if vars, err := c.Environ(tool.Place{Dir: t.TempDir(), OwnCaches: true}); vars != nil || err != nil {
		t.Errorf("%v %v", vars, err)
	}
	list, err := apk.MachineRepositories(filepath.Join(etc, "apk"))
	if err != nil {
		t.Fatal(err)
	}
	found, err := apk.Find(list, "alpine-v1-main")
	if err != nil || found == nil || found.Keys != filepath.Join(etc, "apk", "keys") {
		t.Errorf("%+v %v", found, err)
	}
	if none, err := apk.Find(list, "alpine-v1-community"); none != nil || err != nil {
		t.Errorf("%+v %v", none, err)
	}
}
