// Package yamlfile reads and writes overland.yaml.
//
// Reading is strict: what is not known is an error with line and column, because a misspelt key would silently change
// what runs. Anchors, aliases, merge keys and tags are refused: the file says what it says. It is apart from spec so
// that the program on a node, which reads JSON, carries no YAML.
//
// One table of keys serves the parser, the published JSON schema and the words in the written file.
// Limits: 1 MiB, 100,000 tokens, 32 brackets inside each other.
package yamlfile
