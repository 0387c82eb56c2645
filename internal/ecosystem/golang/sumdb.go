package golang

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"

	"golang.org/x/mod/sumdb/tlog"

	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/lockfile"
	"overland/internal/record"
)

// tree is a signed tree head of a checksum database, as it came.
type tree struct {
	size int64
	note []byte
}

func readTree(r io.Reader) (tree, error) {
	b, err := fsx.Read(r, "tree head", tileLimit)
	if err != nil {
		return tree{}, err
	}
	return parseTree(b)
}

func parseTree(b []byte) (tree, error) {
	text, _, ok := bytes.Cut(b, []byte("\n\n"))
	if !ok {
		return tree{}, errs.Errorf(errs.Untrusted, "not a signed tree")
	}
	t, err := tlog.ParseTree(append(bytes.Clone(text), '\n'))
	if err != nil {
		return tree{}, errs.E(errs.Untrusted, err)
	}
	return tree{t.N, b}, nil
}

// checkDatabase refuses what is not an answer of a checksum database. The clients of the
// database check its signatures.
func checkDatabase(key string, body io.ReadSeeker) error {
	_, path, _ := strings.Cut(strings.TrimPrefix(key, "sumdb/"), "/")
	kind, _, _ := strings.Cut(path, "/")
	if kind == "supported" {
		return nil
	}
	b, err := fsx.Read(body, key, tileLimit)
	if err != nil {
		return err
	}
	switch kind {
	case "latest":
		_, err = parseTree(b)
	case "lookup":
		_, _, _, err = parseLookup(b)
	case "tile":
		if len(b) == 0 || !strings.HasPrefix(path, "tile/8/data/") && len(b)%tlog.HashSize != 0 {
			err = fmt.Errorf("a tile of %d bytes", len(b))
		}
	}
	return errs.E(errs.Untrusted, err)
}

// parseLookup splits the answer to a lookup into the record with its
// number, as it stands, and the tree.
func parseLookup(b []byte) (id int64, rec []byte, t tree, err error) {
	id, _, rest, err := tlog.ParseRecord(b)
	if err != nil {
		return 0, nil, tree{}, errs.E(errs.Untrusted, err)
	}
	t, err = parseTree(rest)
	return id, b[:len(b)-len(rest)], t, err
}

// Serve implements record.Protocol: a lookup gets the session's tree in
// place of the one that it came with.
func (p *Protocol) Serve(it record.Item, e lockfile.Entry, body io.Reader, _ string) (io.Reader, string, error) {
	if !strings.HasPrefix(it.Key, "sumdb/"+p.db.name+"/lookup/") {
		return body, e.MediaType, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), lookupPatience)
	defer cancel()
	frozen := p.head(ctx)
	if frozen == nil {
		return body, e.MediaType, nil
	}
	b, err := fsx.Read(body, it.Key, tileLimit)
	if err != nil {
		return nil, "", err
	}
	id, rec, _, err := parseLookup(b)
	if err != nil {
		return nil, "", err
	}
	if id < frozen.size { // else it is younger than the tree
		b = append(bytes.Clone(rec), frozen.note...)
	}
	return bytes.NewReader(b), e.MediaType, nil
}
