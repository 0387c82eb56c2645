// Overland's stand-in for the two packages of sigstore that go-tuf's metadata uses; see docs/decisions/0006.
module github.com/sigstore/sigstore

go 1.26.0
