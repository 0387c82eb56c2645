package follow

import "time"

// Silent returns o for a Follower to which dir, a watched directory, does not answer before back is
// closed; asked is called when it is asked.
func Silent(o Options, dir string, asked func(), back <-chan struct{}) Options {
	o.wait = 20 * time.Millisecond
	o.look = func(at string) folder {
		if at == dir {
			asked()
			<-back
		}
		return lookAt(at)
	}
	return o
}
