package switchover

import (
	"context"
	"fmt"
	"time"

	"overland/internal/errs"
)

// Unwell is a service that is restarted because a self-test which goes on has failed.
type Unwell struct {
	Service string // app.service
	Err     error
}

// ails counts such restarts in one generation.
type ails struct {
	generation int
	count      map[string]int
}

// For how long after a generation was marked good, and at which of its restarts, a service that is not
// well leads back to the generation before.
const (
	young  = time.Hour
	enough = 2
)

// ail tells that a service is not well. When nobody has listened to one yet, the next is not told.
func (s *services) ail(name string, err error) {
	select {
	case s.unwell <- Unwell{name, err}:
	default:
	}
}

// Unwell returns where services that are not well are told; give each to GoBack.
func (s *Switch) Unwell() <-chan Unwell { return s.services.unwell }

// GoBack goes back to the good generation before when u, restarted once already in this generation,
// is not well again within an hour of the switch, and the switch changed it. Later, and when there is
// nothing better, restarts are all that is done.
func (s *Switch) GoBack(ctx context.Context, u Unwell) error {
	st := s.node.State()
	if st.Intent != nil {
		return nil // its self-tests decide
	}
	if s.ails.generation != st.Current {
		s.ails = ails{st.Current, map[string]int{}}
	}
	s.ails.count[u.Service]++
	if s.ails.count[u.Service] < enough || !s.node.Young(young) || st.Before == 0 || !s.changed(u.Service, st.Current, st.Before) {
		return nil
	}
	g, err := s.node.Generation(st.Before)
	if err != nil {
		return err
	}
	if _, refused := st.Refused(g.Content()); refused {
		return nil
	}
	if g.Channel != "" {
		st.Settings.Channel = g.Channel
	}
	why := fmt.Sprintf("service %s was not well for the second time within an hour of the switch: %v", u.Service, u.Err)
	s.o.Log.Warn("a generation is left", "generation", st.Current, "reason", why)
	if err := s.node.BeginBack(st.Before, limit(g), why, st.Settings); err != nil {
		return err
	}
	if _, err = s.Decide(ctx); errs.KindOf(err) == errs.Partial {
		return nil // the one before is no better
	}
	return err
}

// changed reports whether the service is another one in generation a than in b.
func (s *Switch) changed(service string, a, b int) bool {
	var found [2]string
	for k, number := range []int{a, b} {
		g, err := s.node.Generation(number)
		if err != nil {
			return false
		}
		list, err := s.services.instances(g)
		if err != nil {
			return false
		}
		if inst, ok := list[service]; ok {
			found[k] = fmt.Sprint(inst.Digest(), inst.Spec)
		}
	}
	return found[0] != found[1]
}
