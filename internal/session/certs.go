package session

import (
	"bytes"
	"crypto/sha1"
	"encoding/binary"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"

	"overland/internal/environ"
	"overland/internal/fsx"
)

// bundlesMost is the longest file of certificates that is read, in bytes.
const bundlesMost = 16 << 20

// certificates returns the file for the variable name: the session's authority alone, or behind
// those in the file that the caller's variable names. A variable that is not set gets no others, so
// that a client which goes past the recorder fails.
func (s *session) certificates(name string) (string, error) {
	old, _ := environ.Lookup(s.o.Environ, name)
	if old == "" {
		return s.ca, nil
	}
	if path, ok := s.bundles[old]; ok {
		return path, nil
	}
	b, _ := fsx.ReadFile(old, bundlesMost) // the client could not have read it either
	path := filepath.Join(s.caches, fmt.Sprintf("ca-%d.pem", len(s.bundles)+1))
	if s.bundles == nil {
		s.bundles = map[string]string{}
	}
	s.bundles[old] = path
	const mode = 0o600
	return path, os.WriteFile(path, append(append(bytes.TrimSpace(b), '\n'), s.authority...), mode)
}

// trustStore returns the certificate authority, in PEM, in the form that every Java reads: JKS,
// as sun.security.provider.JavaKeyStore writes it, with the usual password.
func trustStore(authority []byte) []byte {
	block, _ := pem.Decode(authority)
	const magic, version, trusted, created = 0xfeedfeed, 2, 2, 0
	const kind, alias, password, salt = "X.509", "overland", "changeit", "Mighty Aphrodite"
	var b []byte
	text := func(s string) { b = append(binary.BigEndian.AppendUint16(b, uint16(len(s))), s...) }
	for _, n := range []uint32{magic, version, 1, trusted} {
		b = binary.BigEndian.AppendUint32(b, n)
	}
	text(alias)
	b = binary.BigEndian.AppendUint64(b, created)
	text(kind)
	b = append(binary.BigEndian.AppendUint32(b, uint32(len(block.Bytes))), block.Bytes...)
	h := sha1.New()
	for _, c := range password {
		h.Write([]byte{0, byte(c)})
	}
	h.Write([]byte(salt))
	h.Write(b)
	return h.Sum(b)
}
