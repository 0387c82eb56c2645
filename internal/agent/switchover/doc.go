// Package switchover takes a node from one generation to another and keeps its services up.
//
// It starts what the new generation has, leaves alone what is the same, proves what is new with
// its self-tests, and marks the generation good or goes back and says why. The protocol on the
// disk is package node's; what runs a service is a runtime. It fetches nothing and knows no
// source: that is package stage.
//
// Below the node's directory it touches log/, run/ and volumes/ (the services' data), and collects
// generations and blobs that nothing leads back to. Failures guarded: a node that stops serving
// because something new did not work, and a generation that counts as good before it proved itself.
package switchover
