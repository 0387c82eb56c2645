package main

import (
	"os"
	"testing"

	"overland/internal/testkit/bins"
	"overland/internal/testkit/machine"
)

var builder bins.Builder

func TestMain(m *testing.M) {
	machine.Init()
	dir, err := os.MkdirTemp("", "overland-bins-")
	if err != nil {
		panic(err)
	}
	builder.Dir = dir
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}
