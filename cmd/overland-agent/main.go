// Command overland-agent is the program on a node. It stays small: it must cross a 4 KB/s link.
package main

import (
	"os"

	"overland/internal/cli/nodecli"
)

func main() { os.Exit(nodecli.Main(os.Args[1:])) }
