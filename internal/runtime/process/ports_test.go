package process_test

import (
	"fmt"
	"net"
	"os"
	"strings"
	"testing"

	"overland/internal/runtime"
	"overland/internal/runtime/process"
)

// A port is a service's when any process of its run holds it, wherever that has fled to, also for an
// agent that adopts it; anybody else's has a name.
func TestWhosePortItIs(t *testing.T) {
	both(t, func(t *testing.T, r *process.Runtime) {
		w := newWorld(t, "listen")
		p := w.start(r)
		port := w.ready(1)[0]
		list, err := r.Listeners("tcp", port, []string{w.inst.Record + ".other", w.inst.Record})
		if err != nil || len(list) != 1 || list[0].Owner != 1 || list[0].At.String() != fmt.Sprintf("127.0.0.1:%d", port) {
			t.Errorf("its own: %+v, %v", list, err)
		}
		if list, err = r.Listeners("tcp", port, nil); err != nil || len(list) != 1 || list[0].Owner != runtime.Stranger || !strings.Contains(list[0].Who, "process ") {
			t.Errorf("of nobody that was named: %+v, %v", list, err)
		}
		l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		list, err = r.Listeners("tcp", l.Addr().(*net.TCPAddr).Port, []string{w.inst.Record})
		if want := fmt.Sprintf("process %d (", os.Getpid()); err != nil || len(list) != 1 || list[0].Owner != runtime.Stranger || !strings.HasPrefix(list[0].Who, want) {
			t.Errorf("a stranger's: %+v, %v, want %q", list, err, want)
		}
		p.Release()
		if list, err = process.New(process.Options{}).Listeners("tcp", port, []string{w.inst.Record}); err != nil || len(list) != 1 || list[0].Owner != 0 {
			t.Errorf("of another agent: %+v, %v", list, err)
		}
	})
}
