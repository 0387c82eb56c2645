// Package process runs instances as Linux processes that outlive the agent, with the least that they
// can do with: see package confine.
//
//	agent    forks the keeper, records it, and only then gives it the word
//	keeper   process 1 of the service's namespaces, where there are some: passes signals on, writes the
//	         log and how the service ended; it has no rights
//	service  a child of the keeper
//
// Files: the record (JSON, 0600: process id, kernel start time, boot id, user, control group) says
// who runs an instance; RECORD.exit is what the keeper wrote; RECORD.lock is held while one is
// started. Each run has a control group of its own, which says who runs when the record is damaged.
// Environment: OVERLAND_INSTANCE names the instance; OVERLAND_RUN names what a run leaves behind
// where there are no control groups. Nothing is adopted for what a process says of itself.
//
// It may touch record and log files and its control groups, and signal only processes proven to
// belong to the record. Failures guarded: two copies at once; a stranger in a service's place; a
// signal to a stranger that got a reused process id; an exit status lost to a reaper.
package process
