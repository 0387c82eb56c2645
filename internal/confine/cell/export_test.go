package cell

import "overland/internal/confine"

// WithoutSettings is what shows dir without the files that may hold logins.
func WithoutSettings(dir string) []confine.Mount { return withoutSettings(dir) }
