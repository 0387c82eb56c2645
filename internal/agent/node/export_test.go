package node

// What a state may hold, and the bytes that a copy of it occupies.
const (
	EventLimit = eventLimit
	LogsLimit  = logsLimit
	StateSlot  = stateSlot
)

// Want returns where the link current should lead.
func (s *State) Want() int { return s.want() }

// CheckCopy returns why the copy of a state at path cannot be read.
func CheckCopy(path string) error { return readCopy(path).err }

// LinkNumber returns the generation that the symbolic link path names, or 0.
func LinkNumber(path string) int { return linkNumber(path) }
