package progress

import "strings"

// Event is how far one task is. Step and What together name the task, so two tasks
// that run at once differ in them.
type Event struct {
	Step  string `json:"step"`            // what is done: "build", "fetch", "verify"
	What  string `json:"what,omitempty"`  // to what: "wallet for linux/amd64", "wallet@r412.5b2c… node"
	Note  string `json:"note,omitempty"`  // the part of it under way ("compile"), or with End how it ended
	Done  int64  `json:"done,omitempty"`  // bytes
	Total int64  `json:"total,omitempty"` // bytes; 0 or less is not counted
	Rate  int64  `json:"rate,omitempty"`  // bytes per second, smoothed; 0 is unknown
	End   bool   `json:"end,omitempty"`   // the task is over; one that is counted is over at Done = Total too
}

// Name returns the name of the task, "build wallet for linux/amd64".
func (e Event) Name() string { return strings.TrimSpace(e.Step + " " + e.What) }

// Over reports whether the task is over.
func (e Event) Over() bool { return e.End || (e.Total > 0 && e.Done >= e.Total) }
