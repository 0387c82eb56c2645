package site

import (
	"context"
	"log/slog"

	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/health"
	"overland/internal/home"
	"overland/internal/trust/keys"
	"overland/internal/trust/repository"
)

// keepFresh returns the service that renews the timestamp before it expires. A problem is logged
// when it begins and when it ends, not each time.
func keepFresh(o Options, refresh func(context.Context) error) Service {
	var trouble health.Trouble
	return every("sign the timestamp", o.Refresh, func(ctx context.Context) {
		err := refresh(ctx)
		if ctx.Err() != nil {
			return
		}
		switch trouble.Report(err) {
		case health.Began:
			reportStale(o.Log, err)
		case health.Ended:
			o.Log.Info("the signed metadata is kept fresh")
		case health.Same:
		}
	})
}

func reportStale(log *slog.Logger, err error) {
	switch errs.KindOf(err) {
	case errs.NotFound:
		log.Info("nothing is signed yet", "hint", errs.HintOf(err))
	case errs.Partial:
		log.Error("metadata will expire that needs a person's key", "error", err, "hint", errs.HintOf(err))
	default:
		log.Error("the timestamp cannot be renewed: nodes will refuse it when it expires", "error", err, "hint", errs.HintOf(err))
	}
}

// refresh opens the trust folder each time: keys and roles change under a running site.
func refresh(ctx context.Context, dir string) error {
	own, err := keys.Open(home.Keys.In(dir), keys.Options{})
	if err != nil {
		return err
	}
	repo, err := repository.Open(ctx, repository.Dir(home.Trust.In(dir), fsx.FS{}), own, repository.Options{})
	if errs.KindOf(err) == errs.NotFound {
		return errs.Hint(err, "overland trust init --home %s", dir) // not of the folder that is meant when nobody names one
	}
	if err != nil {
		return err
	}
	return repo.Refresh(ctx)
}
