package lockfile

import (
	"slices"
	"sort"
)

// Name is the file that holds a lock, in an application's repository.
const Name = "overland.lock"

// Limits of a lock.
const (
	Limit      = 64 << 20 // bytes
	KeyLimit   = 4 << 10  // bytes of one key
	LineLimit  = 64 << 10 // bytes
	entryLimit = 200_000
)

const version = 1

// Lock is every input of a build. The zero value is an empty lock.
type Lock struct {
	Entries []Entry // sorted by protocol and key, each once
}

// New returns the lock of entries, which it sorts in place. No two may
// have the same protocol, key and Asked.
func New(entries []Entry) *Lock {
	// Not slices.SortFunc, which costs the agent 20 KB for a struct of this size.
	sort.Slice(entries, func(i, j int) bool { return compare(entries[i], entries[j]) < 0 })
	return &Lock{Entries: entries}
}

// Find returns the entry of protocol and key; of several, which differ in what was asked, the first.
func (l *Lock) Find(protocol, key string) (Entry, bool) {
	if list := l.Variants(protocol, key); len(list) > 0 {
		return list[0], true
	}
	return Entry{}, false
}

// Variants returns the entries of protocol and key: they differ in what else was asked.
func (l *Lock) Variants(protocol, key string) []Entry {
	from, _ := slices.BinarySearchFunc(l.Entries, Entry{Protocol: protocol, Key: key}, compare)
	to := from
	for to < len(l.Entries) && l.Entries[to].Protocol == protocol && l.Entries[to].Key == key {
		to++
	}
	return l.Entries[from:to]
}

// Has reports whether l has an entry of protocol.
func (l *Lock) Has(protocol string) bool {
	return slices.ContainsFunc(l.Entries, func(e Entry) bool { return e.Protocol == protocol })
}
