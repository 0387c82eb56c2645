// Package yamlfile reads and writes overland.yaml, and publishes its JSON schema.
//
// Reading is strict: whatever is not known is an error with line and column, because a misspelt
// key would silently change what runs. Anchors, aliases, merge keys and tags are refused: the
// file means what it says. The package is apart from appfile so that the program on a node,
// which reads JSON, carries no YAML.
//
// One table of Keys serves the parser, the schema and the written file. A builder and a runtime
// each bring their own table from their own folder; a Format is the value that composes them
// (operator.AppFile), and nothing registers itself.
//
// Read does the same for another file with a table of its own (site.yaml).
//
// Limits: 1 MiB, 100,000 tokens, 32 brackets inside each other.
package yamlfile
