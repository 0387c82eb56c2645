package platform

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"

	"golang.org/x/sys/unix"
)

// Here returns what this machine is: the best platform whose programs it runs.
// OVERLAND_PLATFORM overrides it. An ARM machine is asked for its level (uname), because an
// agent built for v6 may run on a v7.
func Here() (Platform, error) {
	if s := os.Getenv("OVERLAND_PLATFORM"); s != "" {
		return Parse(s)
	}
	if runtime.GOOS != "linux" {
		return "", fmt.Errorf("this machine is not one that Overland installs on (%s)", runtime.GOOS)
	}
	switch runtime.GOARCH {
	case "amd64", "arm64":
		return Platform("linux/" + runtime.GOARCH), nil
	case "arm":
		var u unix.Utsname
		machine := ""
		if unix.Uname(&u) == nil {
			machine = string(u.Machine[:max(0, bytes.IndexByte(u.Machine[:], 0))])
		}
		return armPlatform(machine, builtForARM()), nil
	}
	return "", fmt.Errorf("linux/%s: Overland runs no programs there", runtime.GOARCH)
}

// armPlatform returns the platform of an ARM machine that calls itself machine ("armv6l",
// "aarch64") and runs a program built for level built ("5", "6", "7"): it is at least that.
func armPlatform(machine, built string) Platform {
	level := "5"
	switch {
	case strings.HasPrefix(machine, "armv6"):
		level = "6"
	case strings.HasPrefix(machine, "armv7"), strings.HasPrefix(machine, "armv8"), machine == "aarch64":
		level = "7"
	}
	return Platform("linux/arm/v" + max(level, built))
}

// builtForARM returns the ARM level for which this program was built, or "".
func builtForARM() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, s := range info.Settings {
		if s.Key == "GOARM" {
			level, _, _ := strings.Cut(s.Value, ",")
			return level
		}
	}
	return ""
}
