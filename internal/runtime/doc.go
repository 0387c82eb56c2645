// Package runtime keeps services up and proves that they work.
//
// Parties:
//   - an Instance is one service of the node's generation, with everything a start needs, expanded;
//   - a Runtime starts instances (runtime/process runs them as plain processes); Supervise keeps one up;
//   - SelfTest runs the checks of an instance's spec and then watches it for as long as "stable" says;
//   - Tail, Follow and Rotate are what a node does with a service's log file.
//
// A service outlives the agent: it writes straight to its log file, and its record file lets the
// next agent adopt it. It may touch record files, log files and data folders. Failures
// guarded: two copies of a service at once; a restart that nobody asked for; a crash loop that eats
// the machine; a self-test that hangs.
package runtime
