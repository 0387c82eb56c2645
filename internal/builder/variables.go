package builder

import (
	"time"

	"overland/internal/appfile"
	"overland/internal/errs"
)

// Variables returns the names of what Job.Expand puts in for any builder.
func Variables() []string { return []string{"Version", "Commit", "Time", "Tag"} }

// Expand returns s with {{.Version}} and its like replaced by what they are of j's commit, and {{.NAME}} of more by
// what that has. An unknown name is errs.Invalid.
func (j *Job) Expand(s string, more map[string]string) (string, error) {
	return appfile.Expand(s, func(name, _ string) (string, error) {
		switch name {
		case "Version":
			return j.Commit.Version, nil
		case "Commit":
			return j.Commit.Hash, nil
		case "Time":
			return j.Commit.Time.UTC().Format(time.RFC3339), nil
		case "Tag":
			if j.Commit.Tag.Name != "" {
				return j.Commit.Tag.Name, nil
			}
		}
		if text, ok := more[name]; ok {
			return text, nil
		}
		return "", errs.Errorf(errs.Invalid, "%q holds an unknown variable", s)
	})
}

// NamesTag reports whether one of texts holds {{.Tag}}.
func NamesTag(texts ...string) bool {
	names := false
	for _, s := range texts {
		_, _ = appfile.Expand(s, func(name, _ string) (string, error) { // what is wrong in it Parse has said
			names = names || name == "Tag"
			return "", nil
		})
	}
	return names
}
