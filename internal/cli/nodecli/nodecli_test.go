package nodecli

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"overland/internal/agent/control"
	"overland/internal/agent/stage"
	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/nodeapi"
	"overland/internal/trust"
	"overland/internal/trust/keys"
	"overland/internal/trust/repository"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// result is what one command line did.
type result struct {
	code     int
	out, err string
}

func cli(t *testing.T, args ...string) result {
	t.Helper()
	t.Setenv("OVERLAND_DIR", filepath.Join(t.TempDir(), "node"))
	var out, errOut bytes.Buffer
	e := env{in: bufio.NewReader(strings.NewReader("")), out: &out, err: &errOut}
	code := run(t.Context(), e, args)
	return result{code, out.String(), errOut.String()}
}

func TestEveryMistakeHasAMessageAHintAndACode(t *testing.T) {
	for _, tt := range []struct {
		args []string
		code int
		want []string
	}{
		{nil, 2, []string{"usage: overland-agent VERB"}},
		{[]string{"dance"}, 2, []string{`overland-agent: no verb "dance" · hint: overland-agent help`}},
		{[]string{"help", "dance"}, 2, []string{`no verb "dance"`}},
		{[]string{"status", "--loud"}, 2, []string{"status: flag provided but not defined: -loud", "overland-agent help status"}},
		{[]string{"status", "now"}, 2, []string{"usage: overland-agent status", "hint"}},
		{[]string{"logs"}, 2, []string{"usage: overland-agent logs SERVICE"}},
		{[]string{"logs", "a.b", "-n", "x"}, 2, []string{"invalid value", "-n"}},
		{[]string{"rollback", "-1"}, 2, []string{"rollback: flag provided but not defined: -1"}},
		{[]string{"rollback", "last"}, 2, []string{"a generation is a number"}},
		{[]string{"rollback"}, 5, []string{"hint: start the agent"}},
		{[]string{"install"}, 2, []string{"install: from where? · hint: sh FILE install"}},
		{[]string{"install", "--volume", "a", "--site", "https://10.0.0.1"}, 2, []string{"only one of"}},
		{[]string{"install", "--volume", "/nowhere/x.volume"}, 1, []string{"/nowhere/x.volume"}},
		{[]string{"install", "--volume", "a", "--service", "launchd"}, 2, []string{"not one of auto, systemd, openrc, none"}},
		{[]string{"status", "--state", "/a'b"}, 2, []string{"cannot be a node's directory"}},
		{[]string{"status", "--state", "/"}, 2, []string{"cannot be a node's directory"}},
		{[]string{"verify"}, 2, []string{"which volume? · hint"}},
		{[]string{"extract", "--volume", "/nowhere/x.volume", "d"}, 1, []string{"/nowhere/x.volume"}},
		{[]string{"uninstall"}, 0, []string{"nothing is installed"}},
	} {
		r := cli(t, tt.args...)
		if r.code != tt.code {
			t.Errorf("%q: exit code %d, want %d\n%s", tt.args, r.code, tt.code, r.err)
		}
		for _, want := range tt.want {
			if !strings.Contains(r.err, want) {
				t.Errorf("%q: says %q, want %q in it", tt.args, r.err, want)
			}
		}
		if r.out != "" {
			t.Errorf("%q: printed a result: %q", tt.args, r.out)
		}
	}
}

func TestHelpIsComplete(t *testing.T) {
	all := cli(t, "help")
	if all.code != 0 || !strings.Contains(all.out, errs.ExitCodes) {
		t.Errorf("help = %+v", all)
	}
	for _, v := range verbs() {
		if !strings.Contains(all.out, "\n  "+v.name+" ") {
			t.Errorf("help does not list %s", v.name)
		}
		one := cli(t, "help", v.name)
		flag := cli(t, v.name, "--help")
		if one.code != 0 || flag.code != 0 || one.out != flag.out {
			t.Errorf("help %s and %s --help differ: %+v, %+v", v.name, v.name, one, flag)
		}
		for _, want := range []string{"usage: overland-agent " + v.name, "Examples:", errs.ExitCodes} {
			if !strings.Contains(one.out, want) {
				t.Errorf("help %s lacks %q", v.name, want)
			}
		}
		for _, example := range v.example {
			args := strings.Fields(example)
			if _, _, err := parse(v, args[1:]); args[0] != v.name || err != nil {
				t.Errorf("example %q does not parse: %v", example, err)
			}
		}
	}
}

func TestFlagsStandAnywhere(t *testing.T) {
	for _, v := range verbs() {
		if v.name != "logs" {
			continue
		}
		for _, args := range [][]string{{"a.b", "-n", "5", "-f"}, {"-n", "5", "a.b", "-f"}, {"-f", "-n=5", "a.b"}} {
			c, rest, err := parse(v, args)
			if err != nil || c.lines != 5 || !c.follow || len(rest) != 1 || rest[0] != "a.b" {
				t.Errorf("parse(%q) = %+v, %q, %v", args, c, rest, err)
			}
		}
	}
}

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

func TestOutcomeOfAGeneration(t *testing.T) {
	for _, tt := range []struct {
		name   string
		status nodeapi.Status
		want   string
		reason string
	}{
		{"its own report", nodeapi.Status{Generation: 3, Report: &nodeapi.Report{Outcome: nodeapi.RolledBack, Tried: 4, Reason: "no"}}, nodeapi.RolledBack, "no"},
		{"report lost, good", nodeapi.Status{Generation: 4, Good: 4}, nodeapi.Installed, ""},
		{"report lost, back", nodeapi.Status{Generation: 3, Refused: []nodeapi.Refusal{{Generation: 4, Reason: "bad"}}}, nodeapi.RolledBack, "bad"},
		{"report of another", nodeapi.Status{Generation: 4, Good: 4, Report: &nodeapi.Report{Outcome: nodeapi.RolledBack, Tried: 2}}, nodeapi.Installed, ""},
	} {
		r := outcome(&tt.status, 4)
		if r.Outcome != tt.want || r.Reason != tt.reason {
			t.Errorf("%s: outcome = %+v", tt.name, r)
		}
		if err := rolledBack(r); (errs.KindOf(err) == errs.Partial) != (tt.want == nodeapi.RolledBack) {
			t.Errorf("%s: error %v", tt.name, err)
		}
	}
}

func TestStatusOfAnAgentThatDoesNotAnswer(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "run"), 0o755); err != nil {
		t.Fatal(err)
	}
	hung, err := net.Listen("unix", filepath.Join(dir, control.SocketName))
	if err != nil {
		t.Fatal(err)
	}
	defer hung.Close()
	s, err := nodeStatus(t.Context(), dir, 50*time.Millisecond)
	if errs.KindOf(err) != errs.NotFound || s.Running || len(s.Problems) != 1 || !strings.Contains(s.Problems[0], "does not answer") {
		t.Errorf("status = %+v, %v", s, err)
	}
}

func TestCancelledIs130(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := awaitOutcome(ctx, env{err: io.Discard}, t.TempDir(), 1)
	if got := errs.KindOf(err).Exit(); got != 130 {
		t.Errorf("exit code %d for %v, want 130", got, err)
	}
}

// The reference page holds what help prints, word for word.
func TestReferencePageIsHelp(t *testing.T) {
	page, err := os.ReadFile("../../../docs/reference/node-cli.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range verbs() {
		if text := cli(t, "help", v.name).out; !strings.Contains(string(page), text) {
			t.Errorf("docs/reference/node-cli.md lacks this, which help %s prints:\n%s", v.name, text)
		}
	}
}
