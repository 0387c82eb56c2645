package nodecli

import (
	"overland/internal/progress"
)

// progress returns a printer of an installation's steps.
func (e env) progress() func(progress.Event) {
	return stepsOn(progress.NewBar(e.err, progress.Options{Screen: e.terminal}))
}

// stepsOn shows steps on b, in the words of a person who waits. Small blobs are
// passed over: manifests and lists.
func stepsOn(b *progress.Bar) func(progress.Event) {
	const smallBlob = 64 << 10 // bytes
	return func(e progress.Event) {
		if e.Step == "fetch" && (e.What == "" || e.Total < smallBlob) {
			return
		}
		e.Step = doing(e.Step)
		b.Show(e)
	}
}

func doing(step string) string {
	switch step {
	case "verify":
		return "verifying"
	case "fetch":
		return "fetching"
	case "stage":
		return "staging"
	case "start":
		return "starting"
	case "stop":
		return "stopping"
	case "selftest":
		return "self-testing"
	case "wait":
		return "waiting for"
	case "channel":
		return "following channel"
	case "back":
		return "going back:"
	}
	return step
}
