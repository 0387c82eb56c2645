// The fake agent of the stub's tests: it says how it was called, and ends as --exit N tells it.
package main

import (
	"fmt"
	"os"
	"strconv"
)

var name = "?" // set by the linker

func main() {
	fmt.Printf("agent %s called with %q\n", name, os.Args[1:])
	for i, a := range os.Args {
		switch a {
		case "--wait":
			_, _ = os.Stdin.Read(make([]byte, 1))
		case "--exit":
			code, err := strconv.Atoi(os.Args[i+1])
			if err != nil {
				panic(err)
			}
			os.Exit(code)
		}
	}
}
