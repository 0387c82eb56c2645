module example.org/teahouse

go 1.26.8

require (
	github.com/yuin/goldmark v1.7.13
	golang.org/x/sync v0.18.0
)
