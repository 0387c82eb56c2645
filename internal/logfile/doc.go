// Package logfile writes a log that never holds more than it may: what the keeper of a service does
// with everything that the service prints.
//
// Writer is the only writer of its file, so it needs no look at the size: it counts, and moves the
// file to NAME.1 before it is too long. The names are those that readers of logs know: see Numbered
// and LockName.
//
// It may write, rename and remove the log, its numbered parts and its lock, in the log's folder.
// Failure guarded: a service that prints faster than its log is looked at, and fills the disk.
package logfile
