// Package appfile is what overland.yaml says: which artifacts an application has, how each is
// built, and which services run them.
//
// The types are plain data that several floors share: builder reads the artifacts; release
// stores the services; runtime and agent run them. What stands under a builder key is the
// builder's own type. appfile/yamlfile reads the YAML (operator only); on a node the services
// arrive as the JSON of a signed release.
//
// Failure guarded: a typo that silently changes what runs.
package appfile
