package vm

import (
	"os/exec"
	"strings"
	"testing"
	"time"
)

// A boot that hangs, doing nothing or doing the same for ever, is ended; one that is slow is not.
func TestAMachineThatHangsIsKilled(t *testing.T) {
	few := limits{bootCPU: 300 * time.Millisecond, bootIdle: time.Second, runCPU: time.Minute, runIdle: time.Minute}
	for name, test := range map[string]struct {
		script string
		hangs  bool
	}{
		"idle":    {"echo booting; exec sleep 1000", true},
		"busy":    {"echo booting; while :; do :; done", true},
		"speaks":  {"for k in 1 2 3 4 5; do echo $k; sleep 0.5; done", false},
		"started": {"echo '" + startedLine + "'; sleep 2; n=0; while [ $n -lt 300000 ]; do n=$((n+1)); done", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(t.Context(), "sh", "-c", test.script)
			var out console
			cmd.Stdout = &out
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			err := wait(cmd, &out, few)
			if hangs := err != nil && strings.Contains(err.Error(), "hangs"); hangs != test.hangs {
				t.Errorf("%v; its console: %s", err, out.String())
			}
		})
	}
}
