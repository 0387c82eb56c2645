package pypi

import (
	"bytes"
	"io"

	"golang.org/x/net/html"
)

// linker copies a page and replaces the addresses of links on the way; every other byte stays.
type linker struct {
	z   *html.Tokenizer
	out bytes.Buffer
	to  func(string) string
	err error
}

// links returns r, HTML, with every address a of a link replaced by to(a).
func links(r io.Reader, to func(string) string) io.Reader {
	l := &linker{z: html.NewTokenizer(r), to: to}
	l.z.SetMaxBuf(tokenLimit)
	return l
}

func (l *linker) Read(p []byte) (int, error) {
	for l.out.Len() == 0 && l.err == nil {
		l.step()
	}
	if l.out.Len() > 0 {
		return l.out.Read(p)
	}
	return 0, l.err
}

// step copies the next token.
func (l *linker) step() {
	kind := l.z.Next()
	if kind == html.ErrorToken {
		l.err = l.z.Err()
	}
	raw := bytes.Clone(l.z.Raw())
	if kind == html.StartTagToken || kind == html.SelfClosingTagToken {
		if t := l.z.Token(); t.Data == "a" && l.replace(t.Attr) {
			l.out.WriteString(t.String())
			return
		}
	}
	l.out.Write(raw)
}

// replace replaces the address among attributes, and reports whether it changed.
func (l *linker) replace(list []html.Attribute) bool {
	for i, a := range list {
		if a.Key == "href" {
			with := l.to(a.Val)
			list[i].Val = with
			return with != a.Val
		}
	}
	return false
}
