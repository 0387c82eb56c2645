package cli_test

import (
	"testing"

	"overland/internal/cli"
)

// withoutJSON are the verbs that print no facts, or whose output is for another program already.
var withoutJSON = map[string]string{
	"overland cache env":                       "lines for a shell to read",
	"overland cache freeze":                    "cache freezes lists it",
	"overland cache thaw":                      "prints nothing that was not said",
	"overland completion":                      "a script for a shell",
	"overland image save":                      "writes a file, and names its size",
	"overland init":                            "writes a file for people, and names it",
	"overland key passphrase":                  "prints nothing but that it is done",
	"overland man":                             "pages of a manual",
	"overland netcache download":               "the program of a SlapOS node reads its output",
	"overland netcache generate-signature-key": "the output is what SlapOS's program prints",
	"overland netcache upload":                 "the program of a SlapOS node reads its output",
	"overland registry remove-account":         "registry accounts lists who is left",
	"overland registry serve":                  "serves",
	"overland sbom":                            "the document is JSON, in the format that was asked for",
	"overland site certificate":                "PEM",
	"overland site init":                       "prints nothing but what to do next",
	"overland site run":                        "serves",
	"overland trust add-signer":                "trust show prints who may sign",
	"overland trust refresh":                   "trust show prints what is signed",
	"overland trust remove-signer":             "trust show prints who may sign",
	"overland trust unstage":                   "trust show prints what waits",
	"overland volume extract":                  "writes files, and names the folder that was given",
}

// A verb that prints facts prints them for programs too.
func TestEveryVerbHasJSON(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range cli.AllVerbs(cli.Tree())[1:] {
		if c.Example == "" {
			continue // a group
		}
		why, without := withoutJSON[c.CommandPath()]
		seen[c.CommandPath()] = true
		if has := c.Flags().Lookup("json") != nil; has == without {
			t.Errorf("%s: --json is there: %v; the reason why not: %q", c.CommandPath(), has, why)
		}
	}
	for path := range withoutJSON {
		if !seen[path] && path != "overland completion" {
			t.Errorf("%s: there is no such verb", path)
		}
	}
}
