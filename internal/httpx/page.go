package httpx

import (
	"bytes"
	"fmt"
	"strings"
)

// ErrPage means that a web page came in place of what was asked for. It wraps ErrAnswer.
var ErrPage = fmt.Errorf("%w: a web page in place of it (a captive portal or a login page?)", ErrAnswer)

// PageHead is how many bytes of a body IsPage needs to tell a web page.
const PageHead = 64

// IsPage reports whether an answer is a web page, by its Content-Type or by the
// beginning of its body; both may be empty. Where a page is not what was asked for, it
// is a captive portal's, or a login page.
func IsPage(contentType string, head []byte) bool {
	if strings.HasPrefix(strings.ToLower(strings.TrimSpace(contentType)), "text/html") {
		return true
	}
	s := bytes.ToLower(bytes.TrimLeft(head, "\xef\xbb\xbf \t\r\n"))
	return bytes.HasPrefix(s, []byte("<!doctype html")) || bytes.HasPrefix(s, []byte("<html"))
}
