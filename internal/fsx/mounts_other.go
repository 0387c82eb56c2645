//go:build !linux

package fsx

// NoExec returns "": what is mounted how is known on Linux only.
func NoExec(string) string { return "" }

// Purge removes path and all below it.
func (f FS) Purge(path string) []Left {
	if err := f.RemoveAll(path); err != nil {
		return []Left{{path, err}}
	}
	return nil
}
