// Command overland is the operator's program and the site.
package main

func main() {}
