package bins

import (
	"fmt"

	"overland/internal/platform"
	"overland/internal/testkit/machine"
)

// On returns what a machine needs to be one of platform p: the interpreter under
// which p's programs run, "" for this machine's own, and the environment that makes
// it the oldest CPU of that platform.
func On(p platform.Platform) (interpreters, env []string, err error) {
	cpu := map[platform.Platform]string{
		"linux/arm/v5": "arm926", "linux/arm/v6": "arm1176", "linux/arm/v7": "cortex-a7", "linux/arm64": "cortex-a53",
	}[p]
	env = []string{"OVERLAND_PLATFORM=" + string(p)}
	if cpu != "" {
		env = append(env, "QEMU_CPU="+cpu)
	}
	var line string
	switch p {
	case "linux/amd64":
		return nil, env, nil
	case "linux/arm64":
		line, err = machine.ARM64()
	case "linux/arm/v5", "linux/arm/v6", "linux/arm/v7":
		line, err = machine.ARM()
	default:
		err = fmt.Errorf("no way to run programs for %s here", p)
	}
	return []string{line}, env, err
}
