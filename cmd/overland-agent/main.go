// Command overland-agent is the program on a node. It stays small: it must cross a 4 KB/s link.
package main

func main() {}
