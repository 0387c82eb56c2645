package command

import (
	"strings"
	"sync"
)

// What is kept of a command's output.
const (
	maxLines = 20
	maxTail  = 16 << 10 // bytes
)

// tail is a writer that keeps the end of what it is given. It is safe for concurrent use.
type tail struct {
	mu  sync.Mutex
	end []byte
	cut bool

	most, all int64  // bytes
	over      func() // called when there were more than most of them
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.all += int64(len(p)); t.over != nil && t.all > t.most {
		t.over()
	}
	t.end = append(t.end, p...)
	if over := len(t.end) - maxTail; over > 0 {
		t.end = append(t.end[:0], t.end[over:]...)
		t.cut = true
	}
	return len(p), nil
}

// lines returns the last lines, each after a line end; "" when there are none.
func (t *tail) lines() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	text := strings.TrimSpace(strings.ToValidUTF8(string(t.end), "?"))
	if text == "" {
		return ""
	}
	lines := strings.Split(text, "\n")
	if n := len(lines); n > maxLines || t.cut {
		first := max(n-maxLines, 0)
		if t.cut && n > 1 {
			first = max(first, 1) // half a line
		}
		lines = append([]string{"…"}, lines[first:]...)
	}
	return "\n" + strings.Join(lines, "\n")
}
