package cli_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"overland/internal/testkit/crash"
)

// A folder of FUSE, or of a server that is gone, may never answer, and nothing ends a system call that
// waits for it. Whoever interrupts a verb gets their terminal back: at once when they do it twice, and
// else when it has had its time to end in order.
func TestAPersonEndsWhatHangs(t *testing.T) {
	for name, args := range map[string][]string{
		"a checkout that is built":  {"build", "DIR/app"},
		"a file that is inspected":  {"inspect", "DIR/x.volume"},
		"a folder that is recorded": {"record", "--lock", "DIR/overland.lock", "--", "true"},
		"a site directory":          {"key", "list"},
		"a node, on a node":         {"overland-agent", "status", "--state", "DIR/node"},
		"a node that is installed":  {"overland-agent", "install", "--state", "DIR/node", "--volume", "x.volume"},
	} {
		for _, times := range []string{"once", "twice"} {
			t.Run(name+", "+times, func(t *testing.T) {
				dir, asked := crash.HangingDisk(t)
				if times == "once" && args[0] == "overland-agent" {
					return // it takes a minute, and the same lines
				}
				home := filepath.Join(t.TempDir(), "site")
				if name == "a site directory" {
					home = filepath.Join(dir, "site")
				}
				var list []string
				for _, a := range args {
					list = append(list, strings.Replace(a, "DIR", dir, 1))
				}
				orderly, says := "1h", ""
				if times == "once" {
					orderly, says = "10ms", "stopped, though something did not end"
				}
				cmd := exec.CommandContext(t.Context(), "/proc/self/exe", list...)
				var said bytes.Buffer
				cmd.Stderr = &said
				cmd.Env = append(os.Environ(), asMain+"="+orderly, "OVERLAND_HOME="+home)
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				ended, cancel := context.WithCancel(t.Context())
				go func() {
					defer cancel()
					_ = cmd.Wait()
				}()
				select {
				case <-asked:
				case <-ended.Done():
					t.Fatalf("it ended: %s", said.String())
				}
				_ = cmd.Process.Signal(syscall.SIGINT)
				for times == "twice" && ended.Err() == nil { // until the first one is heard
					select {
					case <-ended.Done():
					case <-time.After(10 * time.Millisecond):
						_ = cmd.Process.Signal(syscall.SIGINT)
					}
				}
				<-ended.Done()
				if !strings.Contains(said.String(), says) {
					t.Errorf("it said %q", said.String())
				}
			})
		}
	}
}
