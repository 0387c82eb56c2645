// Command overland is the operator's program and the site.
package main

import (
	"os"

	"overland/internal/cli"
)

func main() { os.Exit(cli.Main()) }
