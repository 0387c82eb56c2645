package archive

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
)

// Layered is what the layers of an image leave when they lie one on the other, as a container sees it (OCI image
// specification, "Applying Changesets"): a T for each name that Set was called for. The zero value is empty.
type Layered[T any] struct {
	top   node[T]
	layer int
	held  int64
	last  *Tar
	past  Bounds // what the layers before last had
}

type node[T any] struct {
	below  map[string]*node[T]
	value  *T
	layer  int // the last one that had it, or something below it
	opaque int // the last one that hid what lower ones have below it
}

const (
	nameMost  = 4096    // bytes; Linux has no longer paths, and follows no longer links
	heldMost  = 1 << 30 // bytes, about, of all names
	nodeBytes = 400     // and what is kept of one
)

// How members of a layer that remove something are called.
const (
	Whiteout = ".wh."         // before the name of a file that is removed
	Opaque   = ".wh..wh..opq" // all that lower layers have in its folder is removed
)

// RootBounds are those of the layers of one root file system that is looked at, not unpacked: 2,000,000 files, 64 GiB.
var RootBounds = Bounds{Members: 2_000_000, Bytes: 64 << 30}

// Layer reads the next layer, the tar r, and calls visit with each of its members: the reader has
// the bytes of that member. What bounds allow is for all layers together, but for their ratio. It ends with the error of ctx, of the
// tar or of visit.
func (l *Layered[T]) Layer(ctx context.Context, r io.Reader, bounds Bounds, visit func(*tar.Header, io.Reader) error) error {
	if t := l.last; t != nil {
		l.past.Members += t.bounds.Members - t.left
		l.past.Bytes += t.in.n
	}
	l.layer++
	// 0 would be none.
	bounds.Members, bounds.Bytes = max(1, bounds.Members-l.past.Members), max(1, bounds.Bytes-l.past.Bytes)
	l.last = NewTar(r, bounds)
	for {
		h, err := l.last.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = ctx.Err()
		}
		if err == nil {
			err = visit(h, l.last)
		}
		if err != nil {
			return err
		}
	}
}

// Lay takes away what the member called name of the layer does: a whiteout what it names, a folder a file, anything else
// also what was below it. It returns the member's name without a "/" in front; put is false for a whiteout, and for the top.
func (l *Layered[T]) Lay(name string, folder bool) (clean string, put bool) {
	clean = strings.TrimPrefix(path.Clean("/"+name), "/")
	dir, base := path.Split(clean)
	dir = strings.TrimSuffix(dir, "/")
	switch {
	case clean == "":
		return "", false
	case base == Opaque:
		if n := l.find(dir); n != nil && n.opaque != l.layer {
			n.opaque = l.layer
			n.hide(l.layer)
		}
		return clean, false
	case strings.HasPrefix(base, Whiteout):
		base = strings.TrimPrefix(base, Whiteout)
	}
	put = base == path.Base(clean)
	parent := l.find(dir)
	if parent == nil || parent.below[base] == nil {
		return clean, put
	}
	if put && folder {
		parent.below[base].value = nil
	} else {
		delete(parent.below, base)
	}
	return clean, put
}

// hide takes away what lower layers have below n. What layer itself has there stays, wherever in it the whiteout stands.
func (n *node[T]) hide(layer int) {
	for name, one := range n.below {
		if one.layer < layer {
			delete(n.below, name)
		} else {
			one.hide(layer)
		}
	}
}

func (l *Layered[T]) find(name string) *node[T] {
	n := &l.top
	for part := range strings.SplitSeq(name, "/") {
		if n == nil || name == "" {
			break
		}
		n = n.below[part]
	}
	return n
}

// Set notes v for name, as Lay returned it. Errors: ErrBomb.
func (l *Layered[T]) Set(name string, v T) error {
	if len(name) > nameMost {
		return fmt.Errorf("%w: a name of %d bytes", ErrBomb, len(name))
	}
	n := &l.top
	for part := range strings.SplitSeq(name, "/") {
		next := n.below[part]
		if next == nil {
			if l.held += nodeBytes + int64(len(part)); l.held > heldMost {
				return fmt.Errorf("%w: too many names", ErrBomb)
			}
			if n.below == nil {
				n.below = map[string]*node[T]{}
			}
			next = &node[T]{}
			n.below[strings.Clone(part)] = next
		}
		next.layer = l.layer
		n = next
	}
	n.value = &v
	return nil
}

// Get returns what the layers so far leave of the file called name: ok is false when Set was not called for it, or it is gone.
func (l *Layered[T]) Get(name string) (v T, ok bool) {
	n := l.find(strings.TrimPrefix(path.Clean("/"+name), "/"))
	if n == nil || n.value == nil {
		return v, false
	}
	return *n.value, true
}

// All calls yield with each name and what was noted for it, in no order.
func (l *Layered[T]) All(yield func(string, T) bool) { l.top.all("", yield) }

func (n *node[T]) all(name string, yield func(string, T) bool) bool {
	if n.value != nil && !yield(name, *n.value) {
		return false
	}
	for part, one := range n.below {
		if !one.all(path.Join(name, part), yield) {
			return false
		}
	}
	return true
}
