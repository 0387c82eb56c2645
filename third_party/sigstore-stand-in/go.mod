// This is NOT sigstore. It is Overland's stand-in for the two packages of it that go-tuf imports: see README.md.
module overland/third_party/sigstore-stand-in

go 1.26.0
