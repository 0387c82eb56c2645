package shared

import "overland/internal/platform"

// Options returns the options of r, for a test to change.
func (r *Results) Options() *ResultsOptions { return &r.o }

// Forget makes r ask a cache again that it could not reach.
func (r *Results) Forget() { r.down = nil }

// AddKind puts the kind of machine h into fields.
func AddKind(fields map[string]any, h platform.Host) { addKind(fields, h) }
