package node

import (
	"fmt"
	"maps"
	"slices"
	"sync"
)

// problems are what is wrong with the node now, by subject. They have a lock of their own, because
// the node's is held while it writes.
type problems struct {
	mu   sync.Mutex
	text map[string]string
}

// Problem notes what is wrong with subject, for the status; "" forgets it.
// It is not written to the disk.
func (n *Node) Problem(subject, text string) {
	n.problems.mu.Lock()
	defer n.problems.mu.Unlock()
	if text == "" {
		delete(n.problems.text, subject)
		return
	}
	if n.problems.text == nil {
		n.problems.text = map[string]string{}
	}
	n.problems.text[subject] = text
}

// Problems returns what is wrong now, what Open found damaged among it,
// in the order of their subjects.
func (n *Node) Problems() []string {
	n.problems.mu.Lock()
	defer n.problems.mu.Unlock()
	var list []string
	for _, subject := range slices.Sorted(maps.Keys(n.problems.text)) {
		list = append(list, n.problems.text[subject])
	}
	return list
}

// noteDamage makes problems of what Open found.
func (n *Node) noteDamage() {
	for i, text := range n.damage {
		n.Problem(fmt.Sprintf("state %d", i), text)
	}
}
