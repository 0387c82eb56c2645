package main

import (
	"fmt"
	"io"
	"text/tabwriter"
)

// table is the figures, beside their targets.
type table struct{ rows [][3]string }

func (t *table) add(what, reached, must string, args ...any) {
	t.rows = append(t.rows, [3]string{what, fmt.Sprintf(reached, args...), must})
}

func (t *table) print(out io.Writer) {
	w := tabwriter.NewWriter(out, 2, 0, 1, ' ', 0)
	fmt.Fprintln(w, "| what\t| measured\t| must reach\t|")
	fmt.Fprintln(w, "|---\t|---\t|---\t|")
	for _, r := range t.rows {
		fmt.Fprintf(w, "| %s\t| %s\t| %s\t|\n", r[0], r[1], r[2])
	}
	w.Flush()
}
