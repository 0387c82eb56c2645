package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"golang.org/x/term"
)

// show is everything that the demo prints. Colours only on a terminal.
type show struct {
	out    io.Writer
	colour bool
	mu     sync.Mutex
	times  []timing
}

type timing struct {
	title string
	took  time.Duration
}

func newShow(out *os.File) *show {
	return &show{out: out, colour: term.IsTerminal(int(out.Fd())) && os.Getenv("NO_COLOR") == ""}
}

func (s *show) paint(code, text string) string {
	if !s.colour {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func (s *show) step(i, n int, title string, do func() error) error {
	s.print("\n%s %s\n", s.paint("1;34", fmt.Sprintf("[%s%s] %d/%d", strings.Repeat("#", i), strings.Repeat("·", n-i), i, n)), s.paint("1", title))
	began := time.Now()
	err := do()
	took := time.Since(began)
	s.times = append(s.times, timing{title, took})
	if err != nil {
		s.print("  %s after %.1f s\n", s.paint("31", "✗ failed"), took.Seconds())
		return err
	}
	s.print("  %s in %.1f s\n", s.paint("32", "✓ done"), took.Seconds())
	return nil
}

func (s *show) line(format string, args ...any) { s.print("  "+format+"\n", args...) }

func (s *show) command(line string) { s.print("  %s\n", s.paint("36", "$ "+line)) }

func (s *show) text(text string) {
	for line := range strings.Lines(text) {
		s.print("    %s\n", strings.TrimRight(line, "\n"))
	}
}

func (s *show) print(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprintf(s.out, format, args...)
}

// child returns a writer that shows the output of a program, indented, line by line.
func (s *show) child() io.Writer { return &indent{show: s} }

type indent struct {
	show *show
	rest []byte
}

func (w *indent) Write(p []byte) (int, error) {
	w.rest = append(w.rest, p...)
	for {
		i := bytes.IndexByte(w.rest, '\n')
		if i < 0 {
			return len(p), nil
		}
		w.show.print("    %s\n", w.show.paint("2", string(w.rest[:i])))
		w.rest = w.rest[i+1:]
	}
}

func (d *demo) closingTable(_ context.Context, total time.Duration) {
	s := d.show
	s.print("\n%s\n", s.paint("1", "What took how long"))
	w := tabwriter.NewWriter(s.out, 2, 0, 2, ' ', 0)
	for _, t := range s.times {
		fmt.Fprintf(w, "  %s\t%.1f s\n", t.title, t.took.Seconds())
	}
	fmt.Fprintf(w, "  in all\t%.1f s\n", total.Seconds())
	w.Flush()
	s.print("\n%s\n", s.paint("1", "What runs where, with the cable unplugged"))
	w = tabwriter.NewWriter(s.out, 2, 0, 2, ' ', 0)
	fmt.Fprintf(w, "  machine\tkind\t%s\t%s\tbroken\tserves now\n", version1, version2)
	for _, h := range d.hosts {
		fmt.Fprintf(w, "  %s\t%s\t%s\t%s\n", h.Name(), h.what, strings.Join(h.took, "\t"), h.served)
	}
	w.Flush()
}
