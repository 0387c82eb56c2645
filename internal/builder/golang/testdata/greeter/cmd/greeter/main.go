// Command greeter says hello to whoever connects: a small server with one dependency, for tests.
package main

import (
	"fmt"
	"net"
	"os"

	"golang.org/x/text/language"
)

var version = "unknown"

func main() {
	if len(os.Args) < 2 {
		fmt.Println("greeter", version, language.MustParse("en-latn-us"))
		return
	}
	l, err := net.Listen("tcp", os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		fmt.Fprintln(c, "hello from", version)
		c.Close()
	}
}
