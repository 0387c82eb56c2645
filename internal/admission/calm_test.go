package admission_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"overland/internal/admission"
)

// One client that causes line after line does not fill the disk, and hides no other message.
func TestOneClientDoesNotFillTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		log := slog.New(admission.Calm(slog.NewTextHandler(&out, nil)))
		for n := range 100_000 {
			log.With("n", n).Error("request failed", "path", n)
			log.Warn(fmt.Sprintf("another message %d", n))
		}
		log.Info("state changed")
		if lines := strings.Count(out.String(), "\n"); lines > 1200 || !strings.Contains(out.String(), "state changed") {
			t.Errorf("%d lines", lines)
		}
		out.Reset()
		time.Sleep(time.Minute)
		log.Error("request failed")
		if !strings.Contains(out.String(), "left_out=99940") {
			t.Errorf("nobody is told: %s", &out)
		}
	})
}
