package trusttest

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strconv"
	"sync"

	"overland/internal/errs"
	"overland/internal/trust"
	"overland/internal/trust/repository"
)

// Memory is a repository.Files in memory. It is safe for concurrent use.
type Memory struct {
	mu    sync.Mutex
	files map[string][]byte
	rev   int
	reads map[string]int
}

// NewMemory returns a Memory without files.
func NewMemory() *Memory { return &Memory{files: map[string][]byte{}, reads: map[string]int{}} }

// List is that of repository.Files.
func (m *Memory) List(context.Context) ([]string, repository.Revision, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Sorted(maps.Keys(m.files)), m.revision(), nil
}

func (m *Memory) revision() repository.Revision { return repository.Revision(strconv.Itoa(m.rev)) }

// Read is that of repository.Files.
func (m *Memory) Read(_ context.Context, name string, limit int64) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	b, ok := m.files[name]
	if !ok {
		return nil, fmt.Errorf("%s: %w", name, fs.ErrNotExist)
	}
	m.reads[name]++
	if int64(len(b)) > limit {
		return nil, errs.Errorf(errs.Untrusted, "%s: %w (%d bytes)", name, trust.ErrTooLarge, limit)
	}
	return bytes.Clone(b), nil
}

// Commit is that of repository.Files.
func (m *Memory) Commit(_ context.Context, base repository.Revision, changes []repository.Change) (repository.Revision, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if base != m.revision() {
		return "", errs.E(errs.Conflict, repository.ErrMoved)
	}
	for _, c := range changes {
		if c.Data == nil {
			delete(m.files, c.Name)
		} else {
			m.files[c.Name] = bytes.Clone(c.Data)
		}
	}
	m.rev++
	return m.revision(), nil
}

// Reads returns how often each file was read since the last call.
func (m *Memory) Reads() map[string]int {
	m.mu.Lock()
	defer m.mu.Unlock()
	reads := m.reads
	m.reads = map[string]int{}
	return reads
}

// MemoryKeys is a repository.Keys in memory, whose keys have no passphrase.
// It is safe for concurrent use.
type MemoryKeys struct {
	mu   sync.Mutex
	keys map[string]memoryKey // by name
}

type memoryKey struct {
	pub  trust.PublicKey
	priv ed25519.PrivateKey
}

// NewMemoryKeys returns a MemoryKeys without keys.
func NewMemoryKeys() *MemoryKeys { return &MemoryKeys{keys: map[string]memoryKey{}} }

// List is that of repository.Keys.
func (k *MemoryKeys) List() ([]trust.KeyInfo, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	var out []trust.KeyInfo
	for _, name := range slices.Sorted(maps.Keys(k.keys)) {
		out = append(out, trust.KeyInfo{Name: name, ID: k.keys[name].pub.ID, Private: true})
	}
	return out, nil
}

// Public is that of repository.Keys.
func (k *MemoryKeys) Public(name string) (trust.PublicKey, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	key, ok := k.keys[name]
	if !ok {
		return trust.PublicKey{}, errs.Hint(errs.Errorf(errs.NotFound, "no key %s", name), "overland key list")
	}
	return key.pub, nil
}

// New is that of repository.Keys.
func (k *MemoryKeys) New(name string, _ []byte) (trust.PublicKey, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.make(name)
}

func (k *MemoryKeys) make(name string) (trust.PublicKey, error) {
	if _, ok := k.keys[name]; ok {
		return trust.PublicKey{}, errs.Errorf(errs.Conflict, "key %s exists", name)
	}
	pub, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return trust.PublicKey{}, err
	}
	id, err := trust.NewPublicKey(pub)
	k.keys[name] = memoryKey{id, priv}
	return id, err
}

// ByID is that of repository.Keys.
func (k *MemoryKeys) ByID(id string) (trust.Signer, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, key := range k.keys {
		if key.pub.ID == id {
			return key, nil
		}
	}
	return nil, nil
}

// Successor is that of repository.Keys.
func (k *MemoryKeys) Successor(name string, _ []byte) (trust.PublicKey, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if key, ok := k.keys[name+".next"]; ok {
		return key.pub, nil
	}
	return k.make(name + ".next")
}

// Retire is that of repository.Keys.
func (k *MemoryKeys) Retire(name string, _ trust.PublicKey) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if next, ok := k.keys[name+".next"]; ok {
		k.keys[name] = next
		delete(k.keys, name+".next")
	}
	return nil
}

func (k memoryKey) Public() trust.PublicKey { return k.pub }

func (k memoryKey) Sign(message []byte) ([]byte, error) { return ed25519.Sign(k.priv, message), nil }
