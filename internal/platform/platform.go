package platform

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Platform is os/arch[/variant], for example "linux/arm/v6". The zero value is no platform.
type Platform string

// All is what Overland builds for, in the order it lists them.
var all = []Platform{"linux/amd64", "linux/arm/v5", "linux/arm/v6", "linux/arm/v7", "linux/arm64"}

// All returns every platform Overland builds for, in listing order. The caller owns the slice.
func All() []Platform { return slices.Clone(all) }

// Parse returns s as a Platform that Overland builds for. "linux/arm64/v8" is read as linux/arm64.
func Parse(s string) (Platform, error) {
	if s == "linux/arm64/v8" {
		s = "linux/arm64"
	}
	if p := Platform(s); slices.Contains(all, p) {
		return p, nil
	}
	return "", fmt.Errorf("platform %q: not one of %s", s, join(all))
}

// OCI returns p as an OCI descriptor's platform.
func (p Platform) OCI() *ocispec.Platform {
	parts := strings.SplitN(string(p), "/", 3)
	o := &ocispec.Platform{OS: parts[0]}
	if len(parts) > 1 {
		o.Architecture = parts[1]
	}
	if len(parts) > 2 {
		o.Variant = parts[2]
	}
	return o
}

// FromOCI returns the Platform of an OCI descriptor; "" for nil.
func FromOCI(o *ocispec.Platform) Platform {
	if o == nil {
		return ""
	}
	s := o.OS + "/" + o.Architecture
	if o.Variant != "" && !(o.Architecture == "arm64" && o.Variant == "v8") {
		s += "/" + o.Variant
	}
	return Platform(s)
}

// Dashed returns p as a file-name part: "linux-arm-v6".
func (p Platform) Dashed() string { return strings.ReplaceAll(string(p), "/", "-") }

// GoEnv returns the Go command's settings for p: "GOOS=linux", "GOARCH=arm", "GOARM=6", …
func (p Platform) GoEnv() []string {
	o := p.OCI()
	env := []string{"GOOS=" + o.OS, "GOARCH=" + o.Architecture}
	switch o.Architecture {
	case "amd64":
		env = append(env, "GOAMD64=v1")
	case "arm":
		env = append(env, "GOARM="+strings.TrimPrefix(o.Variant, "v"))
	case "arm64":
		env = append(env, "GOARM64=v8.0")
	}
	return env
}

// Runs returns the platforms whose programs p can run, best first: an
// arm/v7 machine also runs v6 and v5.
func (p Platform) Runs() []Platform {
	o := p.OCI()
	level, err := strconv.Atoi(strings.TrimPrefix(o.Variant, "v"))
	if o.Architecture != "arm" || err != nil {
		return []Platform{p}
	}
	var list []Platform
	for v := min(level, 7); v >= 5; v-- {
		list = append(list, Platform(o.OS+"/arm/v"+strconv.Itoa(v)))
	}
	return list
}

func join(list []Platform) string {
	s := make([]string, len(list))
	for i, p := range list {
		s[i] = string(p)
	}
	return strings.Join(s, ", ")
}
