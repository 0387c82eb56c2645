package source

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"overland/internal/errs"
)

// Tag is the newest annotated tag that leads to a commit.
type Tag struct {
	Name  string // "v1.2.3"
	Hash  string // of the tag itself, which says who made it, and when
	Since int    // commits after it
}

// maxTag is the longest text of a tag, in bytes.
const maxTag = 1 << 20

// tagForm is what a tag must be called to be a version, which is part of a file's name on nodes.
var tagForm = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,63}$`)

// Describe returns c with its Tag: the newest annotated tag that leads to it, as git describe finds it.
// A lightweight tag is no word of anybody's: it is passed over. Errors: NotFound when no annotated
// tag leads to c, Invalid for one whose name no version can have.
func (r *Repo) Describe(ctx context.Context, c Commit) (Commit, error) {
	out, err := r.output(ctx, 1<<10, nil, "describe", "--long", "--abbrev=12", c.Hash)
	var said *gitError
	if errors.As(err, &said) && (strings.HasPrefix(said.says, "No ") && strings.Contains(said.says, "describe")) {
		return c, r.untagged(ctx, c)
	}
	if err != nil {
		return c, fmt.Errorf("describe commit %.12s: %w", c.Hash, err)
	}
	long, hash, _ := cutLast(strings.TrimSpace(string(out)), "-g")
	name, since, _ := cutLast(long, "-")
	if c.Tag.Since, err = strconv.Atoi(since); err != nil || !strings.HasPrefix(c.Hash, hash) {
		return c, fmt.Errorf("describe commit %.12s: git printed %q", c.Hash, out)
	}
	if !tagForm.MatchString(name) {
		return c, errs.Hint(errs.Errorf(errs.Invalid, "the tag %.100q of commit %.12s: no version can be called so", name, c.Hash),
			"a version has small letters, digits, ., _ and -: git tag -a v1.2.3 -m v1.2.3 %.12s", c.Hash)
	}
	hash, kind, text, err := r.object(ctx, "refs/tags/"+name, maxTag)
	if err == nil {
		c.Tag.Name, err = tagName(text)
	}
	if err == nil && (kind != "tag" || c.Tag.Name != name) {
		err = errs.Hint(errs.Errorf(errs.Invalid, "the tag %s is not of a commit, or calls itself otherwise", name), "git tag -a -f %s -m %s '%s^{commit}'", name, name, name)
	}
	c.Tag.Hash = hash
	return c, err
}

// untagged says why c has no tag.
func (r *Repo) untagged(ctx context.Context, c Commit) error {
	err := errs.Errorf(errs.NotFound, "no annotated tag leads to commit %.12s", c.Hash)
	out, found := r.output(ctx, maxList, nil, "for-each-ref", "--count=1", "--sort=-creatordate", "--format=%(refname:lstrip=2)", "--merged="+c.Hash, "refs/tags/")
	if name := strings.TrimSpace(string(out)); found == nil && name != "" {
		return errs.Hint(fmt.Errorf("%w: %s is a lightweight one", err, name), "git tag -a -f %s -m %s %s", name, name, name)
	}
	return errs.Hint(err, "git fetch --tags, when they are elsewhere; or make one: git tag -a v0.1.0 -m v0.1.0")
}

// Tagged returns c under the version that its Tag gives it: v1.2.3, or v1.2.3-4-gabcdef012345 when c
// is the fourth commit after it.
func (c Commit) Tagged() Commit {
	rest := strings.TrimPrefix(c.Version, c.counted()) // of a folder as it is
	c.Version = c.Tag.Name
	if c.Tag.Since > 0 {
		c.Version += fmt.Sprintf("-%d-g%.12s", c.Tag.Since, c.Hash)
	}
	c.Version += rest
	return c
}

// tagName returns the name of the tag of a commit whose object is b (git-mktag: lines up to an empty
// one, then the message).
func tagName(b []byte) (string, error) {
	head, _, _ := strings.Cut(string(b), "\n\n")
	lines := strings.SplitN(head, "\n", 4)
	if len(lines) < 3 || lines[1] != "type commit" {
		return "", errs.Errorf(errs.Invalid, "a tag that is not one of a commit")
	}
	name, ok := strings.CutPrefix(lines[2], "tag ")
	if !ok || !tagForm.MatchString(name) {
		return "", errs.Errorf(errs.Invalid, "a tag called %.100q", lines[2])
	}
	return name, nil
}

// cutLast cuts s around the last sep.
func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}
