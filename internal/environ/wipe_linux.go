package environ

import (
	"bytes"
	"os"
	"strconv"
	"strings"
)

// wipe overwrites the values of secrets where the kernel shows them, in /proc/self/environ: the
// memory in which this process was given them. Where it may not, they stay for the same user to see.
func wipe() {
	const start, end = 47, 48 // fields after the name, see proc(5): env_start and env_end
	stat, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		return
	}
	f := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(f) <= end {
		return
	}
	from, err1 := strconv.ParseInt(f[start], 10, 64)
	to, err2 := strconv.ParseInt(f[end], 10, 64)
	mem, err := os.OpenFile("/proc/self/mem", os.O_RDWR, 0)
	if err != nil {
		return
	}
	defer mem.Close()
	const most = 4 << 20
	if err1 != nil || err2 != nil || to < from || to-from > most {
		return
	}
	block := make([]byte, to-from)
	if _, err := mem.ReadAt(block, from); err != nil {
		return
	}
	at := from
	for kv := range bytes.SplitAfterSeq(block, []byte{0}) {
		name, value, ok := bytes.Cut(kv, []byte("="))
		if ok && Secret(string(name)) {
			_, _ = mem.WriteAt(bytes.Repeat([]byte{'x'}, max(len(value)-1, 0)), at+int64(len(name))+1)
		}
		at += int64(len(kv))
	}
}
