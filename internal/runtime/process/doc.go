// Package process runs instances as plain Linux processes that outlive the agent.
//
// Files: the record (JSON: process id, kernel start time, boot id) says which process runs an
// instance; RECORD.lock is held while one is started. Environment: OVERLAND_INSTANCE names the
// instance, OVERLAND_RUN ("<id> <record>") marks every process of one run, so that an agent killed
// between fork and record finds its orphan.
//
// It may touch record and log files, and signal only processes proven to belong to the record.
// Failures guarded: two copies at once; a signal to a stranger that got a reused process id; an
// exit status lost to a reaper.
package process
