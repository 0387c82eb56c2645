package main

import (
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
)

// counted are the tests that stop, kill or cut the power at every operation,
// and print how many there were.
var counted = []string{"./internal/testkit/crash", "./internal/agent/host", "./internal/agent", "./internal/operator", "./internal/trust"}

var points = regexp.MustCompile(`(?m)(\d+) (kill |power-cut )?points|points tried: (\d+)`)

// crash runs those tests and adds up what they tried.
func (b *bench) crash(ctx context.Context) error {
	args := append([]string{"test", "-count=1", "-v"}, counted...)
	out, err := exec.CommandContext(ctx, "go", args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("go %v: %w\n%s", args, err, out)
	}
	sums := map[string]int{}
	for _, m := range points.FindAllStringSubmatch(string(out), -1) {
		n, err := strconv.Atoi(m[1] + m[3])
		if err != nil {
			return err
		}
		sums[m[2]] += n
	}
	b.table.add("crash and power-cut points tried", "%d kill -9, %d power cuts of a mounted ext4, %d stops or failures at an operation; all hold",
		"all of them", sums["kill "], sums["power-cut "], sums[""])
	return nil
}
