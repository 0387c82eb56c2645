package volume

import (
	_ "embed"
	"fmt"
	"strings"
)

// stubSize is the length in bytes of the program at the front of every
// volume, filled up with line feeds.
const stubSize = 8 << 10

// MinPart is the smallest size of a part, in bytes: the first one holds the whole program.
const MinPart = stubSize

// magic is how every volume of this version begins.
const magic = magicStem + "1\n"

const magicStem = "#!/bin/sh\n# overland volume "

// stubText belongs to the format: a reader refuses a volume whose stub it would not
// have made itself. Changing a byte of it makes every earlier volume unreadable, so it
// takes a new version of the format.
//
//go:embed stub.sh
var stubText string

// stub returns the program at the front of a volume, with a table of the agents that it can unpack.
func stub(agents []Agent, members []member) ([]byte, error) {
	at := make(map[string]int64, len(members))
	for i := range members {
		at[members[i].name] = members[i].data
	}
	var table strings.Builder
	for _, a := range agents {
		off, ok := at[blobName(a.Digest)]
		if !ok {
			return nil, fmt.Errorf("agent for %s: blob %s is not in the volume", a.Platform, a.Digest)
		}
		fmt.Fprintf(&table, "%s %d %d %s\n", a.Platform, off+1, a.Size, a.Digest.Encoded()) // tail counts from 1
	}
	text := strings.Replace(stubText, "@TABLE@", table.String(), 1)
	if len(text) > stubSize {
		return nil, fmt.Errorf("stub of %d bytes, at most %d", len(text), stubSize)
	}
	return append([]byte(text), strings.Repeat("\n", stubSize-len(text))...), nil
}
