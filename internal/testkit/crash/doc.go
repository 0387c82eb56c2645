// Package crash stops a scenario at every change it makes to the disk, and looks at what is left.
//
//   - Stop: in this process, every operation from the N-th on fails. Fast; for one room.
//   - Kill: in a process of its own, which gets SIGKILL before its N-th operation. All that was written is still there.
//   - Program: a released program, as it is, under ptrace: SIGKILL before its N-th change of a disk; AtTime gives it another
//     clock in the same way.
//   - Killed: another process of the test itself, SIGKILL once it has said so many lines. For several at once, and for moments
//     that a story chooses.
//   - PowerCut: on an ext4 image that is photographed before every operation and mounted again. All that was not synced
//     is gone.
//
// All but Killed and Program try every N until the scenario completes, and return how many points that
// were; where OVERLAND_CRASH_POINTS=I/N is set, one in N. Each commit's CI tries another third (Makefile). Tests only. Failure guarded: a moment, however short, at which a crash leaves a
// node that is neither old nor new.
package crash
