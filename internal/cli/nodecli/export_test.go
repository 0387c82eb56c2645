package nodecli

import (
	"bufio"
	"context"
	"io"
)

// What the tests know of the inside: a command line without this process's streams, and the verbs.

// Run is Main with nobody at the terminal.
func Run(ctx context.Context, in io.Reader, out, err io.Writer, args []string) int {
	return run(ctx, env{in: bufio.NewReader(in), out: out, err: err}, args)
}

// VerbExamples returns the examples of each verb, by its name.
func VerbExamples() map[string][]string {
	all := map[string][]string{}
	for _, v := range verbs() {
		all[v.name] = v.example
	}
	return all
}

// Parse returns the error of the flags args of the verb name.
func Parse(name string, args []string) error {
	for _, v := range verbs() {
		if v.name == name {
			_, _, err := parse(v, args)
			return err
		}
	}
	return noVerb(name)
}
