package archive_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

// What reads the JSON of others relies on this: a document that is nested without end is an error, not a stack without end.
func TestNestedJSONIsAnError(t *testing.T) {
	for _, open := range []string{"[", `{"a":`} {
		deep := []byte(strings.Repeat(open, (10<<20)/len(open)))
		var v any
		var raw json.RawMessage
		for what, err := range map[string]error{
			"any": json.Unmarshal(deep, &v), "raw": json.Unmarshal(deep, &raw), "stream": json.NewDecoder(bytes.NewReader(deep)).Decode(&v),
		} {
			if err == nil || !strings.Contains(err.Error(), "max depth") {
				t.Errorf("%s, %s: %v", open, what, err)
			}
		}
	}
}
