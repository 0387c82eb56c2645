package confine

import (
	"fmt"
	"slices"
	"strings"
)

// Capabilities returns the names of all capabilities in the kernel's order, as in capabilities(7)
// but in small letters and without "cap_".
func Capabilities() []string {
	return strings.Fields(`chown dac_override dac_read_search fowner fsetid kill setgid setuid setpcap linux_immutable
	net_bind_service net_broadcast net_admin net_raw ipc_lock ipc_owner sys_module sys_rawio sys_chroot sys_ptrace sys_pacct sys_admin
	sys_boot sys_nice sys_resource sys_time sys_tty_config mknod lease audit_write audit_control setfcap mac_override mac_admin syslog
	wake_alarm block_suspend audit_read perfmon bpf checkpoint_restore`)
}

// Escapes returns the capabilities that nothing keeps apart: with one of them a process traces who
// started it, mounts, opens files by handle, or changes the kernel.
func Escapes() []string {
	return strings.Fields("dac_read_search sys_module sys_rawio sys_ptrace sys_admin sys_boot mac_override mac_admin perfmon bpf checkpoint_restore")
}

// capabilities returns the set of names such as CAP_CHOWN.
func capabilities(names []string) (set uint64, _ error) {
	known := Capabilities()
	for _, name := range names {
		k := slices.Index(known, strings.ToLower(strings.TrimPrefix(name, "CAP_")))
		if k < 0 {
			return 0, fmt.Errorf("confine: no capability is called %q", name)
		}
		set |= 1 << k
	}
	return set, nil
}
