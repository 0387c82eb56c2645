package progress

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Bytes returns n bytes for people, in powers of 1024 with at most one decimal:
// "999 B", "16.6 MiB", "120 GiB".
func Bytes(n int64) string {
	const k = 1024
	v, unit := float64(n), 0
	units := [...]string{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"}
	for v >= k-0.5 && unit < len(units)-1 { // what would be rounded to 1024 is 1 of the next unit
		v /= k
		unit++
	}
	decimals := 1
	if unit == 0 || v >= 99.95 {
		decimals = 0
	}
	return strings.TrimSuffix(strconv.FormatFloat(v, 'f', decimals, 64), ".0") + " " + units[unit]
}

// Rate returns n bytes per second for people: "300 KiB/s".
func Rate(n int64) string { return Bytes(n) + "/s" }

// Duration returns d for people, to a hundredth of a second when it is
// short: "40ms", "12.3s", "3m20s".
func Duration(d time.Duration) string {
	switch {
	case d < 10*time.Second:
		d = d.Round(10 * time.Millisecond)
	case d < time.Minute:
		d = d.Round(100 * time.Millisecond)
	default:
		d = d.Round(time.Second)
	}
	return d.String()
}

// ParseBytes returns the size that s says, in bytes: "650MiB", "2GiB", or a plain number. A
// single letter counts in powers of 1024. It is an error when s is not a whole positive
// number of them, or more than 4 EiB.
func ParseBytes(s string) (int64, error) {
	number := strings.TrimRight(s, "kKMGTiB")
	units := map[string]int64{
		"": 1, "B": 1, "kB": 1e3, "KB": 1e3, "K": 1 << 10, "KiB": 1 << 10, "MB": 1e6, "M": 1 << 20, "MiB": 1 << 20,
		"GB": 1e9, "G": 1 << 30, "GiB": 1 << 30, "TB": 1e12, "T": 1 << 40, "TiB": 1 << 40,
	}
	unit, known := units[s[len(number):]]
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || !known || n <= 0 || n > 1<<62/unit {
		return 0, fmt.Errorf("size %q is not like 650MiB or 2GiB", s)
	}
	return n * unit, nil
}

// Count returns n with its noun: "1 entry", "2 entries".
func Count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.Itoa(n) + " " + many
}

// Some returns the first three of list, and whether there are more.
func Some(list []string) string {
	const show = 3
	text := strings.Join(list[:min(show, len(list))], ", ")
	if len(list) > show {
		text += ", …"
	}
	return text
}
