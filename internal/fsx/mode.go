package fsx

import "io/fs"

// special are the bits of a mode above the permissions: as the system and archives write them, and as Go has them.
var special = []struct {
	bit  int64
	mode fs.FileMode
}{{0o4000, fs.ModeSetuid}, {0o2000, fs.ModeSetgid}, {0o1000, fs.ModeSticky}}

// Mode returns the mode, without a type, that the system and archives write as bits: 0o2755.
func Mode(bits int64) fs.FileMode {
	m := fs.FileMode(bits) & fs.ModePerm
	for _, s := range special {
		if bits&s.bit != 0 {
			m |= s.mode
		}
	}
	return m
}

// ModeBits returns m as the system and archives write it, without its type.
func ModeBits(m fs.FileMode) int64 {
	bits := int64(m.Perm())
	for _, s := range special {
		if m&s.mode != 0 {
			bits |= s.bit
		}
	}
	return bits
}
