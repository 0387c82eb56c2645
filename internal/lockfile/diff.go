package lockfile

// Change is one difference between two locks: Old or New is nil for what was added or removed.
type Change struct{ Old, New *Entry }

// Diff returns what differs from a to b, sorted by protocol and key.
func Diff(a, b *Lock) []Change {
	var list []Change
	x, y := a.Entries, b.Entries
	for len(x) > 0 || len(y) > 0 {
		var order int
		switch {
		case len(x) == 0:
			order = 1
		case len(y) == 0:
			order = -1
		default:
			order = compare(x[0], y[0])
		}
		switch {
		case order < 0:
			list, x = append(list, Change{Old: &x[0]}), x[1:]
		case order > 0:
			list, y = append(list, Change{New: &y[0]}), y[1:]
		default:
			if x[0] != y[0] {
				list = append(list, Change{Old: &x[0], New: &y[0]})
			}
			x, y = x[1:], y[1:]
		}
	}
	return list
}
