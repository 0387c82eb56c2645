package image

import (
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"overland/internal/appfile"
	"overland/internal/appfile/yamlfile"
	"overland/internal/builder/placed"
	"overland/internal/image"
)

// Key is this builder's key in overland.yaml.
const Key = "image"

// Image is what stands under the key "image".
type Image struct {
	Base       string // an artifact that is a tar of a root file system; "" = nothing
	Files      map[string]File
	Entrypoint []string
	Command    []string
	User       string
	Env        map[string]string
	WorkingDir string
	Volumes    []string
	Ports      []string
	Labels     map[string]string
	StopSignal string
	// OtherPrograms, AnyProgram or "", says whether the first argument of a container may name a program to be run in place of Entrypoint.
	OtherPrograms string
	Compress      string            `json:",omitempty"` // how layers are packed: an image.Packing
	Args          map[string]string // defaults of {{.Args.NAME}}, by name
}

// File is what is placed at a path of the image; its Owner is "uid:gid".
type File = placed.File

var (
	absolutePattern = regexp.MustCompile(`^(/[^/\x00]+)+$`)
	ownerPattern    = regexp.MustCompile(`^[0-9]{1,10}:[0-9]{1,10}$`)
	userPattern     = regexp.MustCompile(`^([a-z_][a-z0-9_-]{0,31}|[0-9]{1,10})(:([a-z_][a-z0-9_-]{0,31}|[0-9]{1,10}))?$`)
	envPattern      = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	portPattern     = regexp.MustCompile(`^[1-9][0-9]{0,4}(/(tcp|udp))?$`)
	labelPattern    = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._/-]*[A-Za-z0-9])?$`)
	signalPattern   = regexp.MustCompile(`^(SIG[A-Z0-9+-]+|[1-9][0-9]?)$`)
)

const (
	absoluteForm = "written like /usr/bin/wallet"
)

// Keys returns the key "image" with all that stands under it. Its Settings are an *Image.
func Keys() yamlfile.Builder {
	b := yamlfile.NewBuilder(Key, "Builder key: a container image of other artifacts and files of the commit.", []yamlfile.Key[Image]{
		yamlfile.Text("base", "The artifact with the root file system on which it stands, one tar; left out, it stands on nothing.",
			placed.NamePattern, placed.NameForm, func(i *Image) *string { return &i.Base }),
		yamlfile.Table("files", "What is placed in it, by path: an artifact, or a file or folder of the commit, written like ./etc/wallet.conf.",
			absolutePattern, absoluteForm, placed.Keys("Its owner, in numbers: 65532:65532; 0:0 when left out.", ownerPattern, "written like 65532:65532"), placed.Short(),
			func(i *Image) *map[string]File { return &i.Files }),
		yamlfile.Words("entrypoint", "The program that a container runs, and its first arguments.", func(i *Image) *[]string { return &i.Entrypoint }),
		yamlfile.OneOf("other-programs", "With allowed, a container whose first argument is a program of the image runs that: docker run IMAGE sh. "+
			"All else are arguments of the entrypoint. It needs /bin/sh in the image.", []string{AnyProgram}, func(i *Image) *string { return &i.OtherPrograms }),
		yamlfile.Words("command", "The arguments that follow when nobody gives others.", func(i *Image) *[]string { return &i.Command }),
		yamlfile.Text("user", "The user that it runs as: a name or uid, with a group if wanted; root when left out.", userPattern,
			"written like 65532 or app:app", func(i *Image) *string { return &i.User }),
		yamlfile.Texts("env", "Environment variables.", envPattern, "a variable's name, like HOME", func(i *Image) *map[string]string { return &i.Env }),
		yamlfile.Text("workdir", "The folder that it starts in.", absolutePattern, absoluteForm, func(i *Image) *string { return &i.WorkingDir }),
		yamlfile.List("volumes", "volume", "Folders whose content outlives a container.", absolutePattern, absoluteForm,
			func(i *Image) *[]string { return &i.Volumes }),
		yamlfile.Words("ports", "Ports that it listens on: 8080 or 53/udp.", func(i *Image) *[]string { return &i.Ports }).Then(checkPorts),
		yamlfile.Texts("labels", "Labels, beside those that say version, commit and time.", labelPattern, "letters, digits and ._/- between them",
			func(i *Image) *map[string]string { return &i.Labels }),
		yamlfile.Text("stop-signal", "The signal that asks it to end; SIGTERM when left out.", signalPattern, "written like SIGINT",
			func(i *Image) *string { return &i.StopSignal }),
		yamlfile.OneOf("compress", "How its layers are packed: with zstd they are shorter, and unpacked faster; docker load, and docker before version 23, do "+
			"not read them. Left out, with gzip, which everybody reads.", []string{string(image.Zstd)}, func(i *Image) *string { return &i.Compress }),
		yamlfile.Texts("args", "Arguments of the build with their defaults: {{.Args.NAME}} in files, entrypoint, command, env, workdir and labels is what "+
			"overland build --arg NAME=VALUE gives, or the default. {{.Version}}, {{.Commit}}, {{.Time}} and {{.Tag}} are replaced too.",
			envPattern, "a name like NETWORK", func(i *Image) *map[string]string { return &i.Args }),
	})
	b.Example = "for an image: image: {files: {/usr/bin/app: ARTIFACT}, entrypoint: [/usr/bin/app]}"
	read := b.Read
	b.Read = func(d *yamlfile.Decoder, n yamlfile.Node) any {
		got := read(d, n)
		i, ok := got.(*Image)
		if !ok {
			return got
		}
		if i.Base == "" && len(i.Files) == 0 {
			d.Fail(n, "name a base, or files", "an image of nothing")
		}
		if err := i.unknown(); err != nil {
			d.Fail(n, "known here: {{.Version}}, {{.Commit}}, {{.Time}}, {{.Tag}} and {{.Args.NAME}} of each name in args; the braces themselves are "+appfile.Literal, "%v", err)
		}
		if i.OtherPrograms != "" && len(i.Entrypoint) == 0 {
			d.Fail(n, "name the entrypoint", "other-programs, and no entrypoint beside which they are")
		}
		for _, at := range slices.Sorted(maps.Keys(i.Files)) {
			i.Files[at].Check(d, n, at)
		}
		return i
	}
	return b
}

func checkPorts(d *yamlfile.Decoder, n yamlfile.Node, i *Image) {
	for _, p := range i.Ports {
		number, _, _ := strings.Cut(p, "/")
		if v, err := strconv.ParseUint(number, 10, 16); err != nil || v == 0 || !portPattern.MatchString(p) {
			d.Fail(n, "written like 8080 or 53/udp", "port %.60q", p)
		}
	}
}
