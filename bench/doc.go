// Command bench measures what the design promises, beside its floor, in one run: CPU seconds,
// bytes, resident memory and ratios. "make bench" builds the programs first;
// docs/benchmarks.md keeps the figures.
//
// Whole programs are measured as a user runs them, with the operating system's own accounting.
// Wall-clock time is shown where waiting is the point; no test asserts it.
package main
