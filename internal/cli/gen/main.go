// Command gen writes the reference pages that are made from the tree of verbs.
// It is run by go generate only.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"overland/internal/cli"
	"overland/internal/operator"
	"overland/internal/site"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: gen DIR")
		os.Exit(2)
	}
	pages := map[string][]byte{
		"cli.md": cli.Reference(), "exit-codes.md": cli.ExitCodes(), "overland.schema.json": operator.AppFile().Schema(),
		"site.schema.json": site.SettingsSchema(),
	}
	for name, text := range pages {
		const mode = 0o644
		if err := os.WriteFile(filepath.Join(os.Args[1], name), text, mode); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}
