package volume

import (
	"errors"
	"runtime"
	"strings"
	"testing"

	"overland/internal/store"
)

// A volume of a few MB that anybody puts into a watched folder does not take the memory of its node: what its overland.json
// says is bounded before it is decoded.
func TestADocumentThatFillsTheMemory(t *testing.T) {
	for name, text := range map[string]string{
		"agents": `{"volume":3,"agents":[` + strings.Repeat("{},", 1<<19) + `{}],"files":{}}`,
		"packed": `{"volume":3,"files":{},"packed":{` + strings.Repeat(`"":{},`, 1<<18) + `"":{}}}`,
		"files":  `{"volume":3,"files":{` + strings.Repeat(`"":"",`, 1<<18) + `"":""}}`,
		"others": `{"volume":3,"x":[` + strings.Repeat(`1,`, 1<<19) + `1]}`,
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := parseDocument([]byte(text))
		runtime.ReadMemStats(&after)
		if n := (after.TotalAlloc - before.TotalAlloc) >> 20; !errors.Is(err, store.ErrTooLarge) || n > 4 {
			t.Errorf("%s: %v, %d MiB", name, err, n)
		}
	}
}
