// Package signature is NOT sigstore's: it stands in for what go-tuf names of it, and forwards to overland/signature.
package signature
