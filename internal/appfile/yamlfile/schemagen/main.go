// Command schemagen writes the JSON schema of overland.yaml to the file named by its argument.
package main

import (
	"log"
	"os"

	"overland/internal/appfile/yamlfile"
)

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: schemagen FILE")
	}
	if err := os.WriteFile(os.Args[1], yamlfile.Schema(), 0o644); err != nil { //nolint:gosec // a published file
		log.Fatal(err)
	}
}
