package volume

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"overland/internal/digest"
	"overland/internal/platform"
	"overland/internal/store"
)

// ociLayout is the entry oci-layout, the same in every volume.
const ociLayout = `{"imageLayoutVersion":"1.0.0"}`

// document is overland.json: what the other entries do not say about themselves.
type document struct {
	Volume int                      `json:"volume"`           // version of the format
	Agents []documentAgent          `json:"agents,omitempty"` // in the order of platform.All
	Files  map[string]digest.Digest `json:"files"`            // every entry that is not a blob, but this one
	// Packed are the blobs that are compressed: what their bytes in the file are.
	Packed map[digest.Digest]documentPacked `json:"packed,omitempty"`
}

type documentPacked struct {
	Digest digest.Digest `json:"digest"`
	Size   int64         `json:"size"`
}

type documentAgent struct {
	Platform platform.Platform `json:"platform"`
	Digest   digest.Digest     `json:"digest"`
	Size     int64             `json:"size"`
}

func marshalDocument(agents []Agent, files map[string][]byte, packed map[digest.Digest]packedBlob) ([]byte, error) {
	doc := document{Volume: version, Files: make(map[string]digest.Digest, len(files)), Packed: make(map[digest.Digest]documentPacked, len(packed))}
	for _, a := range agents {
		doc.Agents = append(doc.Agents, documentAgent(a))
	}
	for name, b := range files {
		doc.Files[name] = digest.Of(b)
	}
	for d, b := range packed {
		doc.Packed[d] = b.documentPacked
	}
	return json.Marshal(doc)
}

// parseDocument accepts only the bytes that marshalDocument makes: there is one
// overland.json for one content.
func parseDocument(b []byte) (*document, error) {
	var doc document
	if store.Dense(b) { // anybody may put a volume where an agent looks at it
		return nil, store.ErrTooLarge
	}
	if err := json.Unmarshal(b, &doc); err != nil {
		return nil, err
	}
	if doc.Volume != version {
		return nil, fmt.Errorf("version %d, want %d", doc.Volume, version)
	}
	if again, err := json.Marshal(doc); err != nil || !bytes.Equal(b, again) {
		return nil, errors.New("not in the form that Seal writes")
	}
	if err := checkAgents(doc.agents()); err != nil {
		return nil, err
	}
	for name, d := range doc.Files {
		if err := checkName(name); err != nil {
			return nil, err
		}
		if _, err := digest.Parse(string(d)); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	for d, p := range doc.Packed {
		for _, d := range []digest.Digest{d, p.Digest} {
			if _, err := digest.Parse(string(d)); err != nil {
				return nil, err
			}
		}
		if p.Size <= 0 {
			return nil, fmt.Errorf("blob %s: packed to %d bytes", d, p.Size)
		}
	}
	return &doc, nil
}

func (doc *document) agents() []Agent {
	list := make([]Agent, len(doc.Agents))
	for i, a := range doc.Agents {
		list[i] = Agent(a)
	}
	return list
}

// checkAgents refuses agents that are not one for each platform, in the order of platform.All.
func checkAgents(agents []Agent) error {
	all := platform.All()
	for _, a := range agents {
		for len(all) > 0 && all[0] != a.Platform {
			all = all[1:]
		}
		if len(all) == 0 {
			return fmt.Errorf("agent for %.40q: unknown platform, listed twice, or out of order", a.Platform)
		}
		all = all[1:]
		if _, err := digest.Parse(string(a.Digest)); err != nil {
			return fmt.Errorf("agent for %s: %w", a.Platform, err)
		}
		if a.Size <= 0 {
			return fmt.Errorf("agent for %s: size %d", a.Platform, a.Size)
		}
	}
	return nil
}
