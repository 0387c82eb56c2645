package process_test

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"testing"

	"overland/internal/runtime"
	"overland/internal/runtime/process"
	"overland/internal/runtime/runtimetest"
)

func TestContract(t *testing.T) {
	for _, old := range []bool{false, true} {
		t.Run(map[bool]string{false: "pidfd", true: "polling"}[old], func(t *testing.T) {
			runtimetest.Run(t, runtimetest.Subject{
				New: func() runtime.Runtime {
					r := process.New(process.Options{})
					r.PlayOld(old)
					return r
				},
				Instance: func(t *testing.T, role runtimetest.Role) runtime.Instance {
					i := instance(t.Name(), t.TempDir(), "contract="+string(role))
					t.Cleanup(func() { process.EndAll(i.Record) })
					return i
				},
				Other: func(i runtime.Instance) runtime.Instance {
					i.Args = append(i.Args, "other")
					return i
				},
			})
		})
	}
}

// contract plays role of the contract's suite.
func contract(role runtimetest.Role) {
	term := make(chan os.Signal, 1)
	switch role {
	case runtimetest.Exit3:
		os.Exit(3)
	case runtimetest.Stubborn:
		signal.Ignore(syscall.SIGTERM)
		fmt.Println("serving")
		hang()
	case runtimetest.Serve:
		signal.Notify(term, syscall.SIGTERM)
		fmt.Println("serving")
		<-term
		fmt.Println("bye")
	}
}
