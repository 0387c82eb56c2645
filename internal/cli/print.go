package cli

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"overland/internal/errs"
	"overland/internal/progress"
)

// printf prints a piece of the result.
func (a *app) printf(format string, args ...any) { fmt.Fprintf(a.Stdout, format, args...) }

// note prints a line for the eye, on stderr; nothing under --quiet.
func (a *app) note(format string, args ...any) {
	if !a.quiet {
		fmt.Fprintf(a.Stderr, format+"\n", args...)
	}
}

// warn prints lines that matter even under --quiet.
func (a *app) warn(list ...string) {
	for _, s := range list {
		fmt.Fprintf(a.Stderr, "overland: warning: %s\n", s)
	}
}

// bar returns what shows progress; the caller closes it.
func (a *app) bar() *progress.Bar {
	return progress.NewBar(a.Stderr, progress.Options{Screen: terminal(a.Stderr), Quiet: a.quiet})
}

func (a *app) prompt(format string, args ...any) { fmt.Fprintf(a.Stderr, format, args...) }

// confirm asks a yes-or-no question. Without --yes and without a person to ask, the answer is an error.
func (a *app) confirm(format string, args ...any) error {
	if a.yes {
		return nil
	}
	question := fmt.Sprintf(format, args...)
	in, ok := a.Stdin.(*os.File)
	if !ok || !term.IsTerminal(int(in.Fd())) {
		return errs.Hint(errs.Errorf(errs.Denied, "%s There is nobody to ask", question), "--yes says yes")
	}
	a.prompt("%s [y/N] ", question)
	var answer string
	if _, err := fmt.Fscanln(in, &answer); err != nil || !strings.HasPrefix(strings.ToLower(answer), "y") {
		return errs.Errorf(errs.Cancelled, "nothing was changed")
	}
	return nil
}

// jsonFlag adds --json.
func jsonFlag(c *cobra.Command, asJSON *bool) {
	c.Flags().BoolVar(asJSON, "json", false, "print the result as JSON")
}

// printJSON prints v, indented, as the result.
func (a *app) printJSON(v any) error {
	e := json.NewEncoder(a.Stdout)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// table prints rows in columns under head, whose words are the columns' names; each line after indent.
func (a *app) table(indent, head string, rows [][]string) {
	w := tabwriter.NewWriter(a.Stdout, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, indent+strings.Join(strings.Fields(head), "\t"))
	for _, row := range rows {
		fmt.Fprintln(w, indent+strings.Join(row, "\t"))
	}
	// The writer below is stdout; its errors are nobody's to mend.
	_ = w.Flush()
}

// plural returns n with its noun: "1 entry", "2 entries".
func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// when returns t for people, in UTC; "-" for none.
func when(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format("2006-01-02 15:04 UTC")
}

// short returns the first digits of a digest or key id.
func short(s string) string {
	const digits = 12
	s = strings.TrimPrefix(s, "sha256:")
	return s[:min(digits, len(s))]
}
