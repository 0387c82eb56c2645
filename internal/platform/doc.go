// Package platform names what an artifact runs on: "linux/amd64", "linux/arm/v6".
//
// The form is that of OCI image indexes: os/arch[/variant].
//
// Failure guarded: a program for one CPU offered to another one that cannot run it.
package platform
