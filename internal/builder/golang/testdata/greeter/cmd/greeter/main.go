// Command greeter says its version: a program with one dependency, for tests. It imports little, since
// the tests compile it, with all that it imports, more than once.
package main

import "golang.org/x/text/transform"

var version = "unknown"

func main() { println("greeter", version, transform.ErrShortDst.Error()) }
