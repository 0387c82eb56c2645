package session

import (
	"context"

	"overland/internal/record"
)

// WithEtc returns o for a machine whose settings are in dir, in place of /etc.
func (o Options) WithEtc(dir string) Options {
	o.etc = dir
	return o
}

// Hold begins the session of o, and runs nothing in it; release ends it.
func Hold(ctx context.Context, o Options) (release func(), err error) {
	s, err := open(ctx, o, record.NewRecorder(o.Store, record.Options{}))
	if err != nil {
		return nil, err
	}
	return s.close, nil
}
