package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

func (b *bench) agentProgram() string {
	return filepath.Join(b.agents, "linux-amd64", "overland-agent")
}

// agentSize measures the stripped program and what crosses a slow link.
func (b *bench) agentSize(ctx context.Context) error {
	info, err := os.Stat(b.agentProgram())
	if err != nil {
		return fmt.Errorf("%w: run it with: make bench", err)
	}
	packed, err := exec.CommandContext(ctx, "xz", "-9e", "--stdout", b.agentProgram()).Output()
	if err != nil {
		return fmt.Errorf("xz: %w", err)
	}
	b.table.add("the agent program, linux/amd64", "%.2f MiB stripped, %.2f MiB after xz -9e", "≤ 8.58 MiB, ≤ 2.76 MiB",
		float64(info.Size())/(1<<20), float64(len(packed))/(1<<20))
	return nil
}
