// Package pipeline is the verbs that plan and run the pipelines of an overland.yaml.
//
// Failure guarded: a run that ends with 0 though a step did not pass.
package pipeline
