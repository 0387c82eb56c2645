package term

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/term"

	"overland/internal/clock"
	"overland/internal/errs"
	"overland/internal/httpx"
	"overland/internal/printer"
	"overland/internal/progress"
)

// Term is what the verbs of one run share. The zero value has no streams.
type Term struct {
	Stdin  io.Reader
	Stdout io.Writer // for commands that are run; what this program prints goes through Result
	Stderr io.Writer
	Getenv func(string) string
	Clock  clock.Clock // nil: the machine's

	Version string // of this program: "r412.abcdef012345"

	Home  string // --home; "" = see SiteDir
	Quiet bool   // --quiet: no progress and no notes
	Yes   bool   // --yes: questions are answered with yes

	PassphraseFile string // --passphrase-file: what holds the passphrase of keys; "" = see Passphrase
	NoPassphrase   bool   // --no-passphrase: new keys are not encrypted
	RootKeys       string // --root-keys; "" = see RootKeysDir

	result *printer.Result // see Result

	fresh []byte // the passphrase that was chosen for new keys in this run
	told  bool   // that new keys are not encrypted
}

// Result is standard output, for all that this program prints itself. A verb that prints in vain is
// not told: who runs it asks Lost.
func (t *Term) Result() *printer.Result {
	if t.result == nil {
		t.result = printer.NewResult(t.Stdout)
	}
	return t.result
}

// Lost returns err, with which a verb ended; when it ended well, that its result could not be written.
func (t *Term) Lost(err error) error {
	lost := t.Result().Err()
	if lost == nil || err != nil && !errors.Is(err, lost) {
		return err
	}
	return errs.Hint(lost, "what it did is done, only its output is lost: send that to a place with room")
}

// Aside returns a Term that prints on stderr what t would print as its result.
func (t *Term) Aside() *Term {
	aside := *t
	aside.Stdout, aside.result = t.Stderr, nil
	return &aside
}

// Printf prints a piece of the result: see printer.Fprintf for what becomes of its arguments.
func (t *Term) Printf(format string, args ...any) { printer.Fprintf(t.Result(), format, args...) }

// Print prints text of several lines.
func (t *Term) Print(text string) { fmt.Fprint(t.Result(), printer.Text(text)) }

// Note prints a line for the eye, on stderr; nothing under --quiet.
func (t *Term) Note(format string, args ...any) {
	if !t.Quiet {
		fmt.Fprint(t.Stderr, httpx.WithoutLogins(httpx.RedactedText(printer.Sprintf(format+"\n", args...))))
	}
}

// Warn prints lines that matter even under --quiet.
func (t *Term) Warn(list ...string) {
	for _, s := range list {
		fmt.Fprintf(t.Stderr, "overland: warning: %s\n", printer.Block(httpx.WithoutLogins(httpx.RedactedText(s))))
	}
}

// Raw prints b, a result for other programs, byte for byte. A terminal gets it as text.
func (t *Term) Raw(b []byte) error {
	if f, ok := t.Stdout.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		t.Print(string(b) + "\n")
		return nil
	}
	_, err := t.Result().Write(b)
	return err
}

// Bar returns what shows progress. The caller closes it.
func (t *Term) Bar() *progress.Bar {
	f, ok := t.Stderr.(*os.File)
	return progress.NewBar(t.Stderr, progress.Options{Screen: ok && term.IsTerminal(int(f.Fd())), Quiet: t.Quiet})
}

// JSON prints v, indented, as the result. What printer shows as an escape is one of JSON's own.
func (t *Term) JSON(v any) error {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return err
	}
	_, err := io.WriteString(t.Result(), printer.Text(b.String()))
	return err
}

// Table prints rows in columns under head, whose words are the columns'
// names; each line after indent.
func (t *Term) Table(indent, head string, rows [][]string) {
	w := tabwriter.NewWriter(t.Result(), 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, indent+strings.Join(strings.Fields(head), "\t"))
	for _, row := range rows {
		cells := make([]string, len(row))
		for i, cell := range row {
			cells[i] = printer.Line(cell)
		}
		fmt.Fprintln(w, indent+strings.Join(cells, "\t"))
	}
	_ = w.Flush() // Result remembers
}

// Confirm asks a yes-or-no question. Without --yes and without a person
// to ask, the answer is an error.
func (t *Term) Confirm(format string, args ...any) error {
	if t.Yes {
		return nil
	}
	question := printer.Sprintf(format, args...)
	in, ok := t.person()
	if !ok {
		return errs.Hint(errs.Errorf(errs.Denied, "%s There is nobody to ask", question), "--yes says yes")
	}
	fmt.Fprintf(t.Stderr, "%s [y/N] ", question)
	var answer string
	if _, err := fmt.Fscanln(in, &answer); err != nil || !strings.HasPrefix(strings.ToLower(answer), "y") {
		return errs.Errorf(errs.Cancelled, "nothing was changed")
	}
	return nil
}

// person returns the terminal at which somebody sits who can answer.
func (t *Term) person() (*os.File, bool) {
	in, ok := t.Stdin.(*os.File)
	return in, ok && term.IsTerminal(int(in.Fd()))
}

// SiteDir returns the absolute path of the site directory: --home, $OVERLAND_HOME,
// or a folder in the user's home.
func (t *Term) SiteDir() (string, error) {
	if t.Home != "" {
		return filepath.Abs(t.Home)
	}
	if d := t.Getenv("OVERLAND_HOME"); d != "" {
		return d, absolute("OVERLAND_HOME", d)
	}
	if d := t.Getenv("XDG_DATA_HOME"); filepath.IsAbs(d) {
		return filepath.Join(d, "overland"), nil
	}
	home := t.Getenv("HOME")
	if home == "" {
		return "", errs.Hint(errs.Errorf(errs.Invalid, "no site directory"), "give --home DIR or set OVERLAND_HOME")
	}
	return filepath.Join(home, ".local", "share", "overland"), absolute("HOME", home)
}

// absolute refuses a path that the variable name has, unless it is the same in each folder: the one that a
// person stands in may be somebody else's checkout, with keys and signed metadata of its own.
func absolute(name, path string) error {
	if filepath.IsAbs(path) {
		return nil
	}
	return errs.Hint(errs.Errorf(errs.Invalid, "%s is %q, which is another folder wherever you stand", name, path), "write all of it, from / on: %s=$PWD/%s", name, path)
}

// When returns t for people, in UTC; "-" for none.
func When(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format("2006-01-02 15:04 UTC")
}

// Short returns the first digits of a digest or key id.
func Short(s string) string {
	const digits = 12
	s = strings.TrimPrefix(s, "sha256:")
	return s[:min(digits, len(s))]
}
