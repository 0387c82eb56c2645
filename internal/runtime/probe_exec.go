package runtime

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"overland/internal/appfile"
	"overland/internal/errs"
)

// execProbe runs a program to its end; a hanging one is killed at the deadline.
func execProbe(rt Runtime, inst Instance, c appfile.Check, contains string) func(context.Context) error {
	argv := make([]string, len(c.Exec))
	var bad error
	for k, arg := range c.Exec {
		v, err := inst.expand(arg)
		argv[k], bad = v, errors.Join(bad, err)
	}
	if path, ok := inst.Programs[argv[0]]; ok {
		argv[0] = path
	}
	return func(ctx context.Context) error {
		runner, ok := rt.(Execer)
		switch {
		case bad != nil:
			return finalError{bad}
		case !ok:
			return finalError{errors.New("this runtime cannot run a program beside the service")}
		}
		out := newOutput(contains)
		exit, err := runner.Exec(ctx, inst, argv, out)
		switch {
		case errors.Is(err, context.DeadlineExceeded):
			return errors.New("it did not end")
		case errs.KindOf(err) == errs.NotFound, errs.KindOf(err) == errs.Invalid:
			return finalError{err}
		case err != nil:
			return err
		case !exit.OK():
			return fmt.Errorf("%s%s", exit, quote(out.kept))
		case !out.found:
			return fmt.Errorf("no %q in its output%s", contains, quote(out.kept))
		}
		return nil
	}
}

// quote returns the first line of what was printed, for an error; "" when there is none.
func quote(b []byte) string {
	const longest = 200
	line, _, _ := bytes.Cut(bytes.TrimSpace(b), []byte("\n"))
	if len(line) == 0 {
		return ""
	}
	if len(line) > longest {
		line = line[:longest]
	}
	return fmt.Sprintf(" (%q)", line)
}
