// Command teactl prints the menu of a tea house.
package main

import (
	"fmt"
	"os"
)

func main() {
	text, err := os.ReadFile("menu.md")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	_, _ = os.Stdout.Write(text)
}
