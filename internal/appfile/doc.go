// Package appfile is what overland.yaml says: which artifacts an application has, how each is built, and which services
// run them.
//
// Types here are plain data that several floors share: build reads the artifacts; release stores the services; runtime
// and agent run them. Parse reads YAML (operator only); on a node the same types arrive as the JSON of a signed
// release. Unknown keys are errors with line and column. Failure guarded: a typo that silently changes what runs.
package appfile
