package netcache

import (
	"fmt"
	"strings"
)

// EscapeKey returns a key as part of a URL. It writes a key as old clients do, as it is,
// but for what cannot be in a path.
func EscapeKey(key string) string {
	var b strings.Builder
	for i := range len(key) {
		c := key[i]
		if c <= ' ' || c >= 0x7f || strings.IndexByte(`%?#"<>\^`+"`{|}", c) >= 0 {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}
