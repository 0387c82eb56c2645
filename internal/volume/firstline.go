package volume

import (
	"fmt"
	"io"
	"strings"

	"overland/internal/digest"
	"overland/internal/fsx"
)

// ProgramDigest returns the sha256 of the program at the front of the volume file path, or of its
// first part: of the first ProgramSize bytes, which hold the digest of each agent behind them. So it
// stands for every byte that runs before a signature is checked.
func ProgramDigest(path string) (digest.Digest, error) {
	f, err := fsx.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := digest.New()
	if n, err := io.Copy(h, io.LimitReader(f, ProgramSize)); err != nil || n != ProgramSize {
		return "", untrusted("%s: %d bytes of %d", path, n, ProgramSize)
	}
	return h.Digest(), nil
}

// CheckedLine returns one line for a bare POSIX shell (busybox, dash, bash) that runs the volume
// file name with args only when its program is the one with digest d, and else ends with 4. The
// program is read once: what was checked is what runs, on a medium that lies as well.
func CheckedLine(name string, d digest.Digest, args ...string) string {
	if strings.HasPrefix(name, "-") {
		name = "./" + name
	}
	name = quote(name)
	words := make([]string, len(args))
	for i, a := range args {
		words[i] = quote(a)
	}
	return fmt.Sprintf(`p=$(head -c %d %s) && if [ "$(printf '%%s\n' "$p" | sha256sum)" = '%s  -' ]; then sh -c "$p" %s %s; `+
		`else echo 'this is not the file that was sealed: nothing was run' >&2; (exit 4); fi`,
		ProgramSize, name, d.Encoded(), name, strings.Join(words, " "))
}

// quote returns s as one word of a shell.
func quote(s string) string {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/:@%+=,"
	if s != "" && strings.Trim(s, plain) == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
