// Command overland is the operator's program and the site.
package main

import (
	"os"

	"overland/internal/cli"
	"overland/internal/confine"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == confine.Verb {
		confine.Main() // process 1 of what builds and replays run in
	}
	os.Exit(cli.Main())
}
