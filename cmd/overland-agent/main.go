// Command overland-agent is the program on a node. It stays small: it must cross a 4 KB/s link.
package main

import (
	"os"

	"overland/internal/cli/nodecli"
	"overland/internal/confine"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == confine.Verb {
		confine.Main() // the keeper of a service: see package confine
	}
	os.Exit(nodecli.Main(os.Args[1:]))
}
