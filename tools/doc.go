// Package tools pins the programs that check Overland, apart from the product's own dependencies.
//
// "make tools" builds them into .cache/bin.
package tools
