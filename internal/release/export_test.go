package release

import ocispec "github.com/opencontainers/image-spec/specs-go/v1"

// What the tests know of the inside: limits, and the documents that a list of inputs is written as.
const (
	MaxJSON      = maxJSON
	InputsLayers = inputsLayers
)

var (
	Documents = (*Inputs).documents
	Describe  = describe
	Typed     = typed
)

func (d inputsDocument) Desc() ocispec.Descriptor { return d.desc }
func (d inputsDocument) Bytes() []byte            { return d.json }
