package repository

import (
	"time"

	"overland/internal/trust"
)

// Check returns why a node would not believe what the delegated role says at the moment at: it is
// not signed as targets demands, or expired. A role that says nothing is not one to believe.
func (s *State) Check(role string, at time.Time) error {
	m := s.roles[role]
	if m == nil {
		return trust.Untrusted(role, trust.ErrMismatch)
	}
	if err := s.verify(role, m); err != nil {
		return err
	}
	if !at.Before(m.Signed.Expires) {
		return trust.Untrusted(role, trust.ErrExpired)
	}
	return nil
}
