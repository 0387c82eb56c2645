package record

// Waiters returns how many wait for the fetch of key that is under way; 0 when there is none.
func (r *Recorder) Waiters(protocol, key string) int {
	call := r.calls.Find(name{protocol, key, ""})
	if call == nil {
		return 0
	}
	return call.Waiters()
}
