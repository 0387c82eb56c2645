package nodecli

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"overland/internal/agent/stage"
	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/trust"
	"overland/internal/trust/keys"
	"overland/internal/trust/repository"
)

// offer is a source of trust metadata and nothing else.
type offer struct{ trust.MetadataSource }

func (offer) Name() string { return "wallet.volume" }

func (offer) Open(context.Context, digest.Digest, int64) (io.ReadCloser, int64, error) {
	return nil, 0, fs.ErrNotExist
}

func newOffer(t *testing.T) (stage.Source, trust.Fingerprint) {
	t.Helper()
	dir := t.TempDir()
	keys, err := keys.Open(filepath.Join(dir, "keys"), keys.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"root", "online"} {
		if _, err := keys.New(name, nil); err != nil {
			t.Fatal(err)
		}
	}
	repo, err := repository.Init(t.Context(), repository.Dir(filepath.Join(dir, "trust"), fsx.FS{}), keys, repository.InitOptions{RootKeys: []string{"root"}})
	if err != nil {
		t.Fatal(err)
	}
	return offer{repo}, repo.Fingerprint()
}

func TestTheFirstRootIsNeverPinnedSilently(t *testing.T) {
	src, fp := newOffer(t)
	for _, tt := range []struct {
		name     string
		flag     string
		terminal bool
		answer   string
		want     string
		kind     errs.Kind
	}{
		{"given", string(fp), false, "", string(fp), 0},
		{"given in groups", strings.ToUpper(fp.Groups()), false, "", string(fp), 0},
		{"given wrongly", "sha256:12", false, "", "", errs.Invalid},
		{"nobody there", "", false, "yes\n", "", errs.Untrusted},
		{"compared", "", true, "yes\n", string(fp), 0},
		{"waved through", "", true, "\n", "", errs.Untrusted},
		{"y is not yes", "", true, "y\n", "", errs.Untrusted},
		{"hung up", "", true, "", "", errs.Untrusted},
	} {
		var shown bytes.Buffer
		e := env{in: bufio.NewReader(strings.NewReader(tt.answer)), err: &shown, terminal: tt.terminal}
		c := &call{dir: filepath.Join(t.TempDir(), "node"), root: tt.flag}
		got, err := chooseRoot(t.Context(), e, c, src)
		if got != tt.want || (err != nil && errs.KindOf(err) != tt.kind) || (err == nil) != (tt.want != "") {
			t.Errorf("%s: chooseRoot = %q, %v; want %q, %s", tt.name, got, err, tt.want, tt.kind)
		}
		if tt.terminal && !strings.Contains(shown.String(), fp.Groups()) {
			t.Errorf("%s: the person was not shown the fingerprint:\n%s", tt.name, shown.String())
		}
		if errs.KindOf(err) == errs.Untrusted && errs.HintOf(err) == "" {
			t.Errorf("%s: no hint: %v", tt.name, err)
		}
	}
}

func TestProvisionedRoot(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "root.fingerprint")
	if fp, err := provisioned(path); fp != "" || err != nil {
		t.Errorf("without a file: %q, %v", fp, err)
	}
	good := trust.Fingerprint("sha256:" + strings.Repeat("ab", 32))
	for text, want := range map[string]trust.Fingerprint{
		string(good) + "\n": good, good.Groups(): good, "": "", "rubbish": "", strings.Repeat("a", 1<<20): "",
	} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		fp, err := provisioned(path)
		if fp != want || (want == "" && errs.KindOf(err) != errs.Untrusted) {
			t.Errorf("%.20q: %q, %v", text, fp, err)
		}
	}
}
