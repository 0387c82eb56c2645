package volume

import (
	_ "embed"
	"fmt"
	"strings"
)

// ProgramSize is the length in bytes of the program at the front of every volume. Its digest is
// ProgramDigest.
const ProgramSize = 8 << 10

const stubSize = ProgramSize

// MinPart is the smallest size of a part, in bytes: the first one holds the whole program.
const MinPart = stubSize

// magic is how every volume of this version begins.
const magic = magicStem + "3\n"

const magicStem = "#!/bin/sh\n# overland volume "

// stubText belongs to the format: a reader refuses a volume whose stub it would not
// have made itself. Changing a byte of it makes every earlier volume unreadable, so it
// takes a new version of the format.
//
//go:embed stub.sh
var stubText string

// stub returns the program at the front of a volume, with a table of the agents that it can unpack.
func stub(agents []Agent, members []member) ([]byte, error) {
	at := make(map[string]*member, len(members))
	for i := range members {
		at[members[i].name] = &members[i]
	}
	var table strings.Builder
	for _, a := range agents {
		m, ok := at[blobName(a.Digest)]
		if !ok {
			return nil, fmt.Errorf("agent for %s: blob %s is not in the volume", a.Platform, a.Digest)
		}
		end := "-"
		if m.packed > 0 { // RFC 1952: the CRC-32 and the length, for printf
			end = ""
			for _, b := range le.AppendUint32(le.AppendUint32(nil, m.crc), uint32(m.size)) {
				end += fmt.Sprintf("\\%03o", b)
			}
		}
		fmt.Fprintf(&table, "%s %d %d %s %d %s\n", a.Platform, m.data+1, m.length(), a.Digest.Encoded(), a.Size, end) // tail counts from 1
	}
	text := strings.Replace(stubText, "@TABLE@", table.String(), 1)
	if len(text) > stubSize {
		return nil, fmt.Errorf("stub of %d bytes, at most %d", len(text), stubSize)
	}
	// It is filled up before its end, so that a shell which reads it into a variable, and so drops
	// line feeds at the end, still has all of it.
	body := strings.TrimSuffix(text, stubEnd)
	return []byte(body + strings.Repeat("\n", stubSize-len(text)) + stubEnd), nil
}

// stubEnd is how the program ends. A shell that does not get so far does nothing.
const stubEnd = "}\n"
