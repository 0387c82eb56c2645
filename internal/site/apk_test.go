package site

import (
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	cacheserver "overland/internal/server/cache"
)

// The line for apk puts the cache before each URL once, however often it runs, for
// any sed that such a machine has.
func TestAPKLine(t *testing.T) {
	const before = "http://a.invalid/alpine/v3.20/main\n#https://a.invalid/x\n@edge https://b.invalid/alpine/edge/main\n/media/cdrom/apks\n"
	for _, sed := range []string{"sed", "busybox sed"} {
		dir := t.TempDir()
		file := filepath.Join(dir, "repositories")
		if err := os.WriteFile(file, []byte(before), 0o644); err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct{ base, freeze, prefix string }{
			{"http://10.0.0.1:3142", "", "http://10.0.0.1:3142/apk/"},
			{"http://10.0.0.1:3142/", "tuesday", "http://10.0.0.1:3142/at/tuesday/apk/"},
			{"http://10.0.0.1:3142", "", "http://10.0.0.1:3142/apk/"},
			{"http://10.0.0.1:3142", "", "http://10.0.0.1:3142/apk/"},
		} {
			line := lineOf(t, c.base, c.freeze, "apk update")
			line = strings.NewReplacer("/etc/apk/repositories", file, "apk update", "true").Replace(line)
			line = sed + strings.TrimPrefix(line, "sed")
			if out, err := exec.CommandContext(t.Context(), "sh", "-c", line).CombinedOutput(); err != nil {
				t.Fatalf("%s: %v\n%s", line, err, out)
			}
			got, err := os.ReadFile(file)
			want := strings.NewReplacer("http://a.invalid", c.prefix+"a.invalid", "@edge https://", "@edge "+c.prefix).Replace(before)
			if err != nil || string(got) != want {
				t.Errorf("%s:\n%s%v, want\n%s", line, got, err, want)
			}
		}
	}
	// With an address that means something to sed.
	got := lineOf(t, "https://[fd00::1]/a&b+c", "", "apk update")
	if !strings.Contains(got, `https?://([[]fd00::1[]]/a&b[+]c(/at`) || !strings.Contains(got, `)?#https://[fd00::1]/a\&b+c/apk/#`) {
		t.Error(got)
	}
}

// lineOf returns the line of cache env that has text.
func lineOf(t *testing.T, base, freeze, text string) string {
	t.Helper()
	lines, err := cacheserver.Lines(base, freeze)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range lines {
		if strings.Contains(l, text) {
			return l
		}
	}
	t.Fatalf("no %q in %q", text, lines)
	return ""
}

// A machine whose repositories file has the cache before any mirror's name gets what is signed, also when the origin is
// gone and as of a freeze; what is not signed it does not get.
func TestAPKThroughTheCache(t *testing.T) {
	const seeds, index, tea = "../alpine/testdata/", "v1/main/x86_64/APKINDEX.tar.gz", "v1/main/x86_64/tea-1.0-r0.apk"
	keys, err := filepath.Abs(seeds + "keys")
	if err != nil {
		t.Fatal(err)
	}
	evil := false
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := os.ReadFile(seeds + filepath.Base(r.URL.Path))
		if err != nil {
			http.NotFound(w, r)
			return
		}
		if evil {
			b[len(b)-20] ^= 1
		}
		w.Header().Set("Content-Type", "application/octet-stream")
		_, _ = w.Write(b)
	}))
	t.Cleanup(origin.Close)
	dir, addr := cachedSite(t, map[string][]string{"apk": {"[keys=" + keys + "] " + origin.URL + "/alpine"}})
	k, err := OpenCache(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { k.Close() })
	if _, err := k.Freeze(t.Context(), "today", time.Time{}); err != nil {
		t.Fatal(err)
	}
	want := func(mount, name string, status int) {
		t.Helper()
		if got, body := get(t, addr, "/"+mount+"/mirror.invalid/alpine/"+name); got != status {
			t.Errorf("%s %s: %d %.200s, want %d", mount, name, got, body, status)
		}
	}
	want("apk", tea, 422) // nothing proves it yet
	evil = true
	want("apk", index, 422)
	evil = false
	want("apk", index, 200)
	want("at/today/apk", index, 200)
	evil = true
	want("apk", tea, 422)
	evil = false
	want("apk", tea, 200)
	want("apk", "v1/main/x86_64/none-1-r0.apk", 404)
	want("apk", "../x/APKINDEX.tar.gz", 400)
	if got, _ := get(t, addr, "/apk/mirror.invalid/other/"+index); got != 400 {
		t.Errorf("of no repository: %d", got)
	}
	origin.Close()
	want("at/today/apk", index, 200)
	want("at/today/apk", tea, 200)
}
