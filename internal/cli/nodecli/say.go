package nodecli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"overland/internal/httpx"
	"overland/internal/nodeapi"
	"overland/internal/printer"
)

// say prints one progress line.
func (e env) say(format string, args ...any) {
	_, _ = io.WriteString(e.err, httpx.RedactedText(printer.Sprintf(format+"\n", args...)))
}

// ask returns the line that a person types, without the space around it; what there is of it when
// the input ends.
func (e env) ask() (string, error) {
	answer, err := e.in.ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("read the answer: %w", err)
	}
	return strings.TrimSpace(answer), nil
}

func writeJSON(w io.Writer, v any) error {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return err
	}
	_, err := io.WriteString(w, printer.Text(b.String())) // its escapes are JSON's own
	return err
}

// finish prints what became of a switch. err, when there is one, is printed by the caller.
func finish(e env, c *call, r nodeapi.Report, err error) (int, error) {
	if c.json {
		if werr := writeJSON(e.out, r); err == nil {
			err = werr
		}
		return 0, err
	}
	for _, t := range r.Tests {
		mark := "ok  "
		if !t.OK {
			mark = "FAIL"
		}
		printer.Fprintf(e.err, "%s %s: %s (%s)", mark, t.Service, t.Check, t.Took.Round(time.Millisecond))
		if t.Error != "" {
			printer.Fprintf(e.err, ": %s", t.Error)
		}
		printer.Fprintf(e.err, "\n")
	}
	if r.Outcome == nodeapi.RolledBack && len(r.Log) > 0 {
		e.say("last lines of the log:")
		for _, line := range r.Log {
			e.say("  | %s", line)
		}
	}
	if !r.Freshness.Known && r.Outcome != nodeapi.Unchanged && !r.Freshness.SignedAt.IsZero() {
		e.say("note: freshness unknown: signed %s; there may be something newer", r.Freshness.SignedAt.Format(time.RFC3339))
	}
	printer.Fprintf(e.out, "%s: generation %d", r.Outcome, r.Tried)
	for _, a := range r.Apps {
		printer.Fprintf(e.out, " %s@%s", a.App, a.Version)
	}
	printer.Fprintf(e.out, ", channel %s\n", r.Channel)
	return 0, err
}

func servicesLine(list []nodeapi.Service) string {
	var b strings.Builder
	for _, s := range list {
		fmt.Fprintf(&b, "%s %s  ", s.Name, s.State)
	}
	return strings.TrimSpace(b.String())
}
