package machine

import (
	"fmt"
	"os/exec"
)

// ARM returns the registration that lets a machine run 32-bit ARM programs under
// qemu-user. The interpreter is opened when it is registered (flag F), so the machine's
// own root file system needs none.
func ARM() (string, error) { return interpreter("overland-arm", "qemu-arm-static", "\\x01", "\\x28") }

// ARM64 is ARM for 64-bit programs.
func ARM64() (string, error) {
	return interpreter("overland-arm64", "qemu-aarch64-static", "\\x02", "\\xb7")
}

func interpreter(name, program, class, machine string) (string, error) {
	path, err := exec.LookPath(program)
	if err != nil {
		return "", fmt.Errorf("%s is not installed: apt-get install qemu-user-static", program)
	}
	magic := "\\x7fELF" + class + "\\x01\\x01\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x02\\x00" + machine + "\\x00"
	mask := "\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\x00\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xfe\\xff\\xff\\xff"
	return fmt.Sprintf(":%s:M::%s:%s:%s:OCF", name, magic, mask, path), nil
}
