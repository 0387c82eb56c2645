package trust

import "github.com/theupdateframework/go-tuf/v2/metadata"

func parseRoot(b []byte) (*metadata.Metadata[metadata.RootType], error) {
	return metadata.Root().FromBytes(b)
}
