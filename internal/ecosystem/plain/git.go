package plain

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/record"
)

// gitAgent is what git is called in all that is sent: its own name holds its version, and would be part
// of a POST's key (gitprotocol-capabilities, "agent"; gitprotocol-http).
const gitAgent = "git/overland"

const uploadPack = "application/x-git-upload-pack-request"

// fixGit returns it, a request by git, as every git of the same protocol version would send it.
// Whatever else asks is returned as it is.
func fixGit(it record.Item) (record.Item, error) {
	if kind, _, _ := strings.Cut(it.Header.Get("Content-Type"), ";"); kind == lfs && it.Method == http.MethodPost {
		it.Body = fixLFS(it.Body)
		return it, nil
	}
	posts := it.Header.Get("Content-Type") == uploadPack
	if !posts && !strings.HasPrefix(it.Header.Get("User-Agent"), "git/") {
		return it, nil
	}
	it.Header.Set("User-Agent", gitAgent)
	it.Header.Del("Accept-Encoding") // of what its libraries can do
	it.Header.Del("Accept-Language") // of the user
	if !posts || it.Method != http.MethodPost {
		return it, nil
	}
	body := it.Body
	if it.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(bytes.NewReader(body))
		if err != nil {
			return it, errs.E(errs.Invalid, err)
		}
		if body, err = fsx.Read(z, "POST "+it.Key, bodyLimit); err != nil {
			return it, errs.E(errs.Invalid, err)
		}
		it.Header.Del("Content-Encoding")
	}
	it.Body, it.Once = fixPackets(body), false // it only reads
	return it, nil
}

const lfs = "application/vnd.git-lfs+json"

// fixLFS returns body, what git-lfs posts to be told where files are (the batch API), with its lists
// sorted: it writes how it can transfer them in another order each time, and order means nothing there.
// What is not such a body is returned as it is.
func fixLFS(body []byte) []byte {
	var ask map[string]json.RawMessage
	if json.Unmarshal(body, &ask) != nil {
		return body
	}
	for _, name := range []string{"transfers", "objects"} {
		var list []json.RawMessage
		if json.Unmarshal(ask[name], &list) != nil {
			continue
		}
		slices.SortFunc(list, func(a, b json.RawMessage) int { return bytes.Compare(a, b) })
		ask[name], _ = json.Marshal(list) // it was read from JSON
	}
	fixed, err := json.Marshal(ask)
	if err != nil {
		return body
	}
	return fixed
}

// fixPackets returns body, packets of git (gitprotocol-common, "pkt-line format"), without what says
// which git wrote them. What is not such packets is returned as it is.
func fixPackets(body []byte) []byte {
	var out bytes.Buffer
	for rest := body; len(rest) > 0; {
		const head = 4
		if len(rest) < head {
			return body
		}
		n, err := strconv.ParseUint(string(rest[:head]), 16, 16)
		switch {
		case err != nil || int(n) > len(rest) || n == head-1:
			return body
		case n < head: // a mark between packets
			out.Write(rest[:head])
			rest = rest[head:]
			continue
		}
		if line, ok := fixCapabilities(string(rest[head:n])); ok && len(line)+head <= maxPacket {
			fmt.Fprintf(&out, "%04x%s", len(line)+head, line)
		}
		rest = rest[n:]
	}
	return out.Bytes()
}

const maxPacket = 65520

// fixCapabilities returns a packet's text with our agent, and without the number of a session; false =
// nothing is left of it. Version 2 has a packet for each, the others a list in the first packet.
func fixCapabilities(text string) (string, bool) {
	if strings.HasPrefix(text, "session-id=") {
		return "", false
	}
	if !strings.HasPrefix(text, "agent=") && !strings.HasPrefix(text, "want ") {
		return text, true
	}
	line, end := strings.CutSuffix(text, "\n")
	var words []string
	for word := range strings.SplitSeq(line, " ") {
		if strings.HasPrefix(word, "agent=") {
			word = "agent=" + gitAgent
		}
		if !strings.HasPrefix(word, "session-id=") {
			words = append(words, word)
		}
	}
	text = strings.Join(words, " ")
	if end {
		text += "\n"
	}
	return text, true
}
