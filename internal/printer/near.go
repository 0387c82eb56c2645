package printer

// Nearest returns the one of names that s is fewer than three letters away from, or "".
func Nearest(s string, names []string) string {
	best, near := 3, ""
	for _, name := range names {
		if n := distance(s, name); n < best && n < len(name) {
			best, near = n, name
		}
	}
	return near
}

// distance returns how many letters must be put in, dropped, changed or swapped to
// make b of a; 9 for long words.
func distance(a, b string) int {
	if len(a) > 40 || len(b) > 40 {
		return 9
	}
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			change := 1
			if a[i-1] == b[j-1] {
				change = 0
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}
