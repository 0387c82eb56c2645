# The front end, then the server that carries it.
set -eu
(cd web && npm ci --ignore-scripts && npm run build)
CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags='-s -w -buildid=' -o out/teahouse .
