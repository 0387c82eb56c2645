package fetch

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/health"
	"overland/internal/httpx"
	"overland/internal/trust"
)

// Metadata returns the metadata file of that name ("2.root.json", "3.app%2Fwallet.json"): GET
// /v1/trust/NAME. It is not verified. Failures that may pass are tried again, SiteOptions.Attempts
// times. Errors: fs.ErrNotExist when the site has no such file; kind Unavailable when it is longer
// than limit bytes or the site cannot be reached.
func (s *SiteSource) Metadata(ctx context.Context, name string, limit int64) ([]byte, error) {
	if err := trust.CheckMetadataName(name); err != nil {
		return nil, err
	}
	var h health.Record
	for {
		began := time.Now()
		body, err := s.document(ctx, name, limit)
		if err == nil {
			return body, nil
		}
		err = fmt.Errorf("%s: %s: %w", s.Name(), name, err)
		if ctx.Err() != nil || h.Fails()+1 >= s.o.Attempts || errs.KindOf(err) != errs.Unavailable || errors.Is(err, fsx.ErrTooLong) {
			return nil, err
		}
		h.Failed(metadataBackoff, time.Since(began), 0)
		if errors.Is(err, httpx.ErrStalled) {
			s.CloseIdleConnections()
		}
		if serr := sleep(ctx, h.Rest()); serr != nil {
			return nil, errors.Join(err, serr)
		}
	}
}

// document makes one try to get a metadata file. An unchanged timestamp is not sent again.
func (s *SiteSource) document(ctx context.Context, name string, limit int64) ([]byte, error) {
	w := httpx.NewWatchdog(ctx, s.o.Stall)
	defer w.Stop()
	s.mu.Lock()
	known, again := s.recent[name]
	s.mu.Unlock()
	header := http.Header{}
	if again {
		header.Set("If-None-Match", known.tag)
	}
	resp, err := s.get(w.Context(), "/v1/trust/"+name, header)
	if err != nil {
		return nil, w.Explain(err)
	}
	defer resp.Body.Close()
	if again && resp.StatusCode == http.StatusNotModified && int64(len(known.body)) <= limit {
		return append([]byte(nil), known.body...), nil
	}
	body, err := s.whole(w, resp, limit)
	if err != nil {
		return nil, err
	}
	if tag := resp.Header.Get("ETag"); tag != "" && name == "timestamp.json" {
		s.mu.Lock()
		s.recent[name] = document{tag, append([]byte(nil), body...)}
		s.mu.Unlock()
	}
	return body, nil
}
