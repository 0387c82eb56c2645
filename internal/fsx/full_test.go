package fsx_test

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"syscall"
	"testing"

	"overland/internal/errs"
	"overland/internal/fsx"
)

func TestFull(t *testing.T) {
	for _, cause := range []error{syscall.ENOSPC, syscall.EDQUOT} {
		err := fsx.Full(fmt.Errorf("write it: %w", cause))
		if errs.KindOf(err) != errs.Unavailable || !strings.Contains(errs.HintOf(err), "free some space") || !errors.Is(err, cause) {
			t.Errorf("%v: %v, hint %q", cause, errs.KindOf(err), errs.HintOf(err))
		}
		own := errs.Hint(err, "another stick")
		if got := fsx.Full(own); errs.HintOf(got) != "another stick" {
			t.Errorf("a hint was replaced by %q", errs.HintOf(got))
		}
	}
	for _, err := range []error{nil, syscall.EIO} {
		if got := fsx.Full(err); !errors.Is(got, err) || errs.HintOf(got) != "" {
			t.Errorf("%v became %v", err, got)
		}
	}
}

func TestRoom(t *testing.T) {
	dir := t.TempDir()
	free, err := fsx.Free(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := fsx.Room(dir, 0, 0); err != nil {
		t.Error(err)
	}
	for _, ask := range [][2]int64{{free + 1<<40, 0}, {0, free + 1<<40}, {math.MaxInt64, 0}, {math.MaxInt64, 16 << 20}, {math.MaxInt64, math.MaxInt64}} {
		err = fsx.Room(dir, ask[0], ask[1])
		if !errors.Is(err, fsx.ErrNoRoom) || errs.KindOf(err) != errs.Unavailable || !strings.Contains(errs.HintOf(err), "MiB") || strings.Contains(err.Error(), " -") {
			t.Errorf("%d and %d: %v, hint %q", ask[0], ask[1], err, errs.HintOf(err))
		}
	}
	if err := fsx.Room(dir+"/none", 1, 0); err == nil || errors.Is(err, fsx.ErrNoRoom) {
		t.Errorf("no such folder: %v", err)
	}
}
