// Package options is empty: go-tuf's own tests import it, and "go mod tidy" wants to see it.
package options
