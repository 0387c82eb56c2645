package golang

import (
	"archive/zip"
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"golang.org/x/mod/semver"
	"golang.org/x/mod/sumdb/dirhash"

	"overland/internal/archive"
	"overland/internal/errs"
	"overland/internal/lockfile"
	"overland/internal/record"
)

// Kinds of proof.
const (
	ProofSum  = "go.sum" // the h1 hash of go.sum, as computed
	ProofTree = "sumdb"  // the same, found in the checksum database
)

// Check implements record.Protocol.
func (p *Protocol) Check(_ context.Context, it record.Item, body io.ReadSeeker, _ record.Lookup) (lockfile.Proof, error) {
	if strings.HasPrefix(it.Key, "sumdb/") {
		return lockfile.Proof{}, checkDatabase(it.Key, body)
	}
	r, err := parse(it.Key)
	if err != nil {
		return lockfile.Proof{}, err
	}
	switch r.kind {
	case "zip", "mod":
		return p.hashOf(r, body)
	case "list":
		return lockfile.Proof{}, checkList(body)
	}
	return lockfile.Proof{}, checkInfo(r, body)
}

// Glance implements record.Glancer: the list of a module's files is enough for a go command, which hashes
// them itself.
func (p *Protocol) Glance(it record.Item, body io.ReadSeeker) (enough bool, err error) {
	r, err := parse(it.Key)
	if err != nil || r.kind != "zip" {
		return false, nil //nolint:nilerr // it is of the checksum database, or short
	}
	_, err = list(r, body)
	return err == nil, errs.E(errs.Untrusted, err)
}

// hashOf returns the h1 hash of a module or of its go.mod as a proof.
func (p *Protocol) hashOf(r request, body io.ReadSeeker) (lockfile.Proof, error) {
	hash := p.unzip.hash
	if r.kind == "mod" {
		hash = hashMod
	}
	h, err := hash(r, body)
	if err != nil {
		return lockfile.Proof{}, errs.E(errs.Untrusted, err)
	}
	return lockfile.Proof{Kind: ProofSum, Value: h}, nil
}

// Witness implements record.Witness: the checksum database is asked.
func (p *Protocol) Witness(ctx context.Context, it record.Item, proof lockfile.Proof) (lockfile.Proof, error) {
	r, err := parse(it.Key)
	if err != nil || proof.Kind != ProofSum || r.partial {
		return proof, nil //nolint:nilerr // it is of the checksum database itself
	}
	version := r.module.Version
	if r.kind == "mod" {
		version += "/go.mod"
	}
	inTree, err := p.inTree(ctx, r.module.Path, version, proof.Value)
	if inTree {
		proof.Kind = ProofTree
	}
	return proof, err
}

func hashMod(_ request, body io.ReadSeeker) (string, error) {
	b, err := io.ReadAll(body)
	if err != nil {
		return "", err
	}
	return dirhash.Hash1([]string{"go.mod"}, func(string) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(b)), nil
	})
}

// hash returns the hash of a module's archive.
func (u *unzipper) hash(r request, body io.ReadSeeker) (string, error) {
	at, ok := body.(io.ReaderAt)
	if !ok {
		return "", errNoOffset
	}
	m, ok := u.memories.Get().(*memory)
	if !ok {
		m = &memory{}
	}
	defer u.memories.Put(m)
	m.ahead.open(body, at)
	defer m.ahead.open(nil, nil)
	z, err := list(r, &m.ahead)
	if err != nil {
		return "", err
	}
	u.use(z)
	files := make(map[string]*zip.File, len(z.File))
	names := make([]string, 0, len(z.File))
	for _, f := range z.File {
		files[f.Name] = f
		names = append(names, f.Name)
	}
	return dirhash.Hash1(names, func(name string) (io.ReadCloser, error) {
		if b, ok := m.content(files[name]); ok {
			return io.NopCloser(bytes.NewReader(b)), nil // which is read before the next one is opened
		}
		return u.open(files[name])
	})
}

var errNoOffset = errors.New("a module that cannot be read at an offset")

// list returns a module's archive, whose files all lie below MODULE@VERSION/.
func list(r request, body io.ReadSeeker) (*zip.Reader, error) {
	at, ok := body.(io.ReaderAt)
	if !ok {
		return nil, errNoOffset
	}
	size, err := body.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, err
	}
	z, err := archive.Zip(at, size, listLimit)
	if err != nil {
		return nil, err
	}
	prefix := r.module.Path + "@" + r.module.Version + "/"
	seen := make(map[string]bool, len(z.File))
	var unpacked uint64
	for _, f := range z.File {
		if !strings.HasPrefix(f.Name, prefix) || seen[f.Name] {
			return nil, fmt.Errorf("file %q is not one file below %s", f.Name, prefix)
		}
		if unpacked += f.UncompressedSize64; f.UncompressedSize64 > zipLimit || unpacked > zipLimit {
			return nil, fmt.Errorf("more than %d bytes unpacked", zipLimit)
		}
		seen[f.Name] = true
	}
	return z, nil
}

// checkList refuses what is not a list of versions.
func checkList(body io.Reader) error {
	lines := bufio.NewScanner(body)
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		if len(f) > 0 && !semver.IsValid(f[0]) {
			return errs.Errorf(errs.Untrusted, "not a list of versions: %q", f[0][:min(len(f[0]), 80)])
		}
	}
	return errs.E(errs.Untrusted, lines.Err())
}

// checkInfo refuses what does not say which version it is about.
func checkInfo(r request, body io.Reader) error {
	var info struct{ Version string }
	if err := json.NewDecoder(body).Decode(&info); err != nil {
		return errs.Errorf(errs.Untrusted, "not the information about a version: %w", err)
	}
	if !semver.IsValid(info.Version) || r.kind == "info" && !r.partial && info.Version != r.module.Version {
		return errs.Errorf(errs.Untrusted, "information about version %q", info.Version[:min(len(info.Version), 80)])
	}
	return nil
}
