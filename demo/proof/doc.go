// Package proof shows that one file is enough: a repository with a Go server, a front end that npm
// makes and files of Debian packages is recorded with a network, released, and sealed with its
// inputs; then everything else is taken away, and the same bytes are built from the file alone.
//
// The application is testdata/teahouse. The demo runs the steps with --full, and this package's
// test runs them in CI; both run the program that a user would run.
package proof
