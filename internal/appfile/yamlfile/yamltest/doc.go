// Package yamltest is the contract of a builder's or a runtime's keys in overland.yaml: what the
// parser accepts, the schema accepts and Marshal writes back; what it refuses, it refuses with a
// line, a column and a hint, and so does the schema where it can.
//
// Failure guarded: a key that the parser, the published schema and the
// written file know in three ways.
package yamltest
