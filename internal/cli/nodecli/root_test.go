package nodecli

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"overland/internal/agent/node"
	"overland/internal/agent/stage"
	"overland/internal/appfile"
	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/release"
	"overland/internal/testkit/publisher"
	"overland/internal/trust"
	"overland/internal/trust/keys"
	"overland/internal/trust/repository"
	"overland/internal/volume"
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

// A person who is asked to trust a file sees first what its services ask for beyond the least.
func TestS17WhatAReleaseAsksForIsShownBeforeItIsTrusted(t *testing.T) {
	dir := t.TempDir()
	o := publisher.New(t, filepath.Join(dir, "operator"), nil)
	asks := appfile.Service{Artifact: "node", Runtime: "process", User: "root", Rights: appfile.Rights{
		Isolation: appfile.NoIsolation, Capabilities: []string{"net_admin"}, Devices: []string{"/dev/sda"}, Writable: []string{"/etc"},
	}}
	o.Release("wallet", "r1.aaaaaaaaaaaa", map[string]string{"node": "x"}, map[string]appfile.Service{
		"node": asks, "modest": {Artifact: "node", Runtime: "process"},
	})
	o.Promote("live", "wallet", "r1.aaaaaaaaaaaa")
	path := filepath.Join(dir, "wallet.volume")
	o.Seal("live", path)
	v, err := volume.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	var shown bytes.Buffer
	e := env{in: bufio.NewReader(strings.NewReader("no\n")), err: &shown, terminal: true}
	_, _ = chooseRoot(t.Context(), e, &call{dir: filepath.Join(dir, "node")}, v)
	before, _, asked := strings.Cut(shown.String(), "This machine trusts nobody yet")
	for _, want := range []string{"wallet@r1.aaaaaaaaaaaa node: ", "user root", "net_admin", "/dev/sda", "/etc", "isolation"} {
		if !asked || !strings.Contains(before, want) {
			t.Errorf("%q is not shown before the question:\n%s", want, shown.String())
		}
	}
	if strings.Contains(before, "modest") {
		t.Errorf("shown of a service with the least:\n%s", before)
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

// What provisioning left decides whom this machine trusts: it counts only where nobody else could have
// written it, or put it there.
func TestProvisionedBySomebodyElse(t *testing.T) {
	const good = "live"
	for name, spoil := range map[string]func(dir, path string) error{
		"writable":        func(_, path string) error { return os.Chmod(path, 0o666) },
		"group-writable":  func(_, path string) error { return os.Chmod(path, 0o660) },
		"another's":       func(_, path string) error { return os.Chown(path, 1234, 0) },
		"another's place": func(dir, _ string) error { return os.Chown(dir, 1234, 0) },
		"an open place":   func(dir, _ string) error { return os.Chmod(dir, 0o777) },
		"a link to another's": func(dir, path string) error {
			other := filepath.Join(dir, "other")
			return errors.Join(os.Mkdir(other, 0o755), os.Rename(path, filepath.Join(other, "x")), os.Symlink(filepath.Join(other, "x"), path), os.Chmod(other, 0o777))
		},
		"nobody's": func(_, _ string) error { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "etc")
			path := filepath.Join(dir, "channel")
			if err := errors.Join(os.Mkdir(dir, 0o755), os.WriteFile(path, []byte(good), 0o644), spoil(dir, path)); err != nil {
				t.Fatal(err)
			}
			ch, err := provision(path, release.ParseChannel)
			if bad := name != "nobody's"; bad != (errs.KindOf(err) == errs.Untrusted) || bad == (ch == good) || bad && errs.HintOf(err) == "" {
				t.Errorf("%q, %v", ch, err)
			}
		})
	}
	// What is not text is refused, whatever it is.
	for _, text := range []string{"\ufefflive", "live\x00", "l\x00i\x00v\x00e\x00", "live\r\nstaging\r\n"} {
		path := filepath.Join(t.TempDir(), "channel")
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if ch, err := provision(path, release.ParseChannel); errs.KindOf(err) != errs.Untrusted {
			t.Errorf("%q: %q, %v", text, ch, err)
		}
	}
}

// The bearer of a file has no say about the channel: it is given, provisioned, or typed by a person.
func TestS11TheFirstChannelIsNeverTheSources(t *testing.T) {
	src, _ := newOffer(t)
	for _, tt := range []struct {
		name, flag string
		terminal   bool
		answer     string
		want       string
		kind       errs.Kind
	}{
		{name: "given", flag: "live", want: "live"},
		{name: "given, of one application", flag: "local/wallet", want: "local/wallet"},
		{name: "given badly", flag: "local", kind: errs.Invalid},
		{name: "typed", terminal: true, answer: "local/wallet\n", want: "local/wallet"},
		{name: "typed badly", terminal: true, answer: "Live!\n", kind: errs.Invalid},
		{name: "nothing typed", terminal: true, answer: "\n", kind: errs.Untrusted},
		{name: "nobody there", terminal: true, answer: "", kind: errs.Untrusted},
		{name: "no terminal", answer: "staging\n", kind: errs.Untrusted},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var asked bytes.Buffer
			e := env{err: &asked, in: bufio.NewReader(strings.NewReader(tt.answer)), terminal: tt.terminal}
			c := &call{dir: t.TempDir(), channel: tt.flag}
			got, err := chooseChannel(e, c, channels{src, []string{"timestamp.json", "1.channel%2Fstaging.json"}})
			if got != tt.want && err == nil || (err == nil) != (tt.kind == errs.Internal) || (err != nil && errs.KindOf(err) != tt.kind) {
				t.Fatalf("channel %q, %v; want %q, %s", got, err, tt.want, tt.kind)
			}
			if tt.terminal && !strings.Contains(asked.String(), "It says: staging") {
				t.Errorf("asked: %q", asked.String())
			}
			if tt.kind == errs.Untrusted && !strings.Contains(errs.HintOf(err), "--channel") {
				t.Errorf("hint %q", errs.HintOf(err))
			}
		})
	}
}

// channels is a source that says which metadata it has.
type channels struct {
	stage.Source
	names []string
}

func (c channels) MetadataNames() []string { return c.names }

func TestProvisionedChannel(t *testing.T) {
	path := filepath.Join(t.TempDir(), "channel")
	if ch, err := provision(path, release.ParseChannel); ch != "" || err != nil {
		t.Errorf("no file: %q, %v", ch, err)
	}
	for text, want := range map[string]release.Channel{"live\n": "live", " local/wallet\n\n": "local/wallet", "local": "", "": "", "a\nb": ""} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if ch, err := provision(path, release.ParseChannel); ch != want || (err == nil) != (want != "") || (err != nil && errs.KindOf(err) != errs.Untrusted) {
			t.Errorf("%q: %q, %v", text, ch, err)
		}
	}
}

func TestAFileOfAnotherChannel(t *testing.T) {
	src, _ := newOffer(t)
	of := func(names ...string) stage.Source { return channels{src, names} }
	if err := stage.OtherChannel(of("1.channel%2Flocal%2Fa.json"), "local/a"); err != nil {
		t.Errorf("its own: %v", err)
	}
	if err := stage.OtherChannel(src, "local/a"); err != nil {
		t.Errorf("a source that does not say: %v", err)
	}
	err := stage.OtherChannel(of("1.channel%2Flocal%2Fb.json"), "local/a")
	if errs.KindOf(err) != errs.Conflict || !strings.Contains(err.Error(), "is for channel local/b, and this machine is to follow local/a") ||
		!strings.Contains(errs.HintOf(err), "--channel local/b --switch-channel") {
		t.Errorf("another's: %v, hint %q", err, errs.HintOf(err))
	}
}

// A node's channel is not changed by the way: a person at the terminal, or a flag of its own, says so.
func TestAnotherChannelIsAsked(t *testing.T) {
	src, _ := newOffer(t)
	dir := t.TempDir()
	n, err := node.Open(dir, node.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(n.Follow(node.Settings{Channel: "live"}), n.Close()); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, channel, answer  string
		terminal, flag, refuse bool
	}{
		{name: "the same", channel: "live"},
		{name: "another, nobody there", channel: "staging", answer: "yes\n", refuse: true},
		{name: "another, by the flag", channel: "staging", flag: true},
		{name: "another, a person says yes", channel: "staging", terminal: true, answer: "yes\n"},
		{name: "another, a person says something else", channel: "staging", terminal: true, answer: "y\n", refuse: true},
		{name: "another, a person leaves", channel: "staging", terminal: true, refuse: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var asked bytes.Buffer
			e := env{err: &asked, in: bufio.NewReader(strings.NewReader(tt.answer)), terminal: tt.terminal}
			got, err := chooseChannel(e, &call{dir: dir, channel: tt.channel, switchChannel: tt.flag}, src)
			if tt.refuse != (err != nil) || err == nil && got != tt.channel {
				t.Fatalf("channel %q, %v; refused: want %t", got, err, tt.refuse)
			}
			if tt.refuse && (errs.KindOf(err) != errs.Conflict || !strings.Contains(errs.HintOf(err), "--switch-channel")) {
				t.Errorf("%v, hint %q", err, errs.HintOf(err))
			}
			if asks := strings.Contains(asked.String(), "follows channel live"); asks != tt.terminal {
				t.Errorf("asked %q", asked.String())
			}
		})
	}
}
