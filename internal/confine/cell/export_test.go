package cell

import "overland/internal/confine"

// WithoutSettings is what shows dir without the files that may hold logins.
func WithoutSettings(dir string) []confine.Mount { return withoutSettings(dir) }

// EtcMounts is what shows the settings in dir, which is an /etc.
func EtcMounts(dir string) []confine.Mount { return etcMounts(dir) }

// Within is how a limit that was asked for is bounded.
var Within = within

// Memory returns the bytes of memory of this machine.
var Memory = memory

// InHome reports whether dir lies in somebody's home, for a caller whose own is home.
func InHome(home, dir string) bool { return (&tools{home: home}).inHome(dir) }
