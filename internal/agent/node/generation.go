package node

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strings"
	"time"

	"overland/internal/appfile"
	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/nodeapi"
	"overland/internal/platform"
)

const (
	documentName = "generation.json"
	documentCopy = "generation.copy.json"
	documentMax  = 4 << 20 // bytes of a generation document
	appsMax      = 1000
)

// Generation is one complete installed state: every app of a channel.
type Generation struct {
	Schema  int       `json:"schema"`
	Number  int       `json:"generation"`
	Channel string    `json:"channel"`
	Source  string    `json:"source"`          // where it came from, for people
	Staged  time.Time `json:"staged,omitzero"` // for people
	Apps    []App     `json:"apps"`            // by name
}

// Sort puts the applications in the order of a generation. Not slices.SortFunc, which costs the
// agent 20 KB for a struct of this size.
func (g *Generation) Sort() {
	sort.Slice(g.Apps, func(i, j int) bool { return g.Apps[i].App < g.Apps[j].App })
}

// App returns the application of that name, nil when g does not have it.
func (g *Generation) App(name string) *App {
	for i := range g.Apps {
		if g.Apps[i].App == name {
			return &g.Apps[i]
		}
	}
	return nil
}

// App is one application of a generation.
type App struct {
	App      string                     `json:"app"`
	Version  string                     `json:"version"`
	Commit   string                     `json:"commit,omitempty"`
	Release  digest.Digest              `json:"release"`
	Programs []Program                  `json:"programs,omitempty"` // by artifact
	Services map[string]appfile.Service `json:"services,omitempty"`
	Commands map[string]string          `json:"commands,omitempty"` // what people call → its program's artifact
	Blobs    []digest.Digest            `json:"blobs,omitempty"`    // everything of it that the depot holds
}

// Program is one artifact, for this machine. It is bin/APP/FILE in the generation's folder.
type Program struct {
	Artifact string            `json:"artifact"`
	Platform platform.Platform `json:"platform"`
	File     string            `json:"file"`
	Digest   digest.Digest     `json:"digest"`
	Size     int64             `json:"size"`           // bytes
	Data     bool              `json:"data,omitempty"` // not a program: nothing runs it
}

// Mode returns the permissions that p is placed with. A file may have more: the same
// bytes may be a program elsewhere.
func (p Program) Mode() fs.FileMode {
	if p.Data {
		return 0o444
	}
	return 0o555
}

// Content returns the name of what g runs: equal for two generations of one
// channel that hold the same releases.
func (g *Generation) Content() digest.Digest {
	h := digest.New()
	fmt.Fprintf(h, "%q\n", g.Channel)
	for _, a := range g.Apps {
		fmt.Fprintf(h, "%q %q %q\n", a.App, a.Version, a.Release)
	}
	return h.Digest()
}

// Names returns g's apps as "wallet@r412.abcdef012345".
func (g *Generation) Names() []string {
	names := make([]string, len(g.Apps))
	for i, a := range g.Apps {
		names[i] = a.App + "@" + a.Version
	}
	return names
}

// program returns what runs of the artifact of that name, nil when there is nothing.
func (a *App) program(artifact string) *Program {
	for i, p := range a.Programs {
		if p.Artifact == artifact && !p.Data {
			return &a.Programs[i]
		}
	}
	return nil
}

// ProgramPath returns where p lies below the generation's folder.
func (a *App) ProgramPath(p Program) string { return filepath.Join("bin", a.App, p.File) }

type envelope struct {
	Magic  int             `json:"overland-generation"`
	SHA256 string          `json:"sha256"` // of the bytes of Body as they stand
	Body   json.RawMessage `json:"body"`
}

func encodeGeneration(g *Generation) ([]byte, error) {
	body, err := json.Marshal(g)
	if err != nil {
		return nil, fmt.Errorf("encode generation %d: %w", g.Number, err)
	}
	b, err := json.Marshal(envelope{Schema, digest.Of(body).Encoded(), body})
	if err == nil && len(b) > documentMax {
		err = fmt.Errorf("%d bytes is more than %d", len(b), documentMax)
	}
	if err != nil {
		return nil, fmt.Errorf("encode generation %d: %w", g.Number, err)
	}
	return append(b, '\n'), nil
}

func decodeGeneration(r io.Reader) (*Generation, error) {
	b, err := fsx.Read(r, "generation document", documentMax)
	if err != nil {
		return nil, err
	}
	var e envelope
	if err := json.Unmarshal(b, &e); err != nil {
		return nil, fmt.Errorf("generation document: %w", err)
	}
	if e.Magic != Schema {
		return nil, fmt.Errorf("generation document: version %d is not known to this agent", e.Magic)
	}
	if digest.Of(e.Body).Encoded() != e.SHA256 {
		return nil, fmt.Errorf("generation document: checksum does not match")
	}
	var g Generation
	if err := json.Unmarshal(e.Body, &g); err != nil {
		return nil, fmt.Errorf("generation document: %w", err)
	}
	return &g, g.check()
}

var (
	nameOK = regexp.MustCompile(`^[a-z][a-z0-9-]{0,62}$`)
	fileOK = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._+-]{0,199}$`)
)

// check refuses names that would leave the generation's folder and programs
// that would overwrite each other.
func (g *Generation) check() error {
	bad := func(format string, args ...any) error {
		return errs.Errorf(errs.Invalid, "generation: "+format, args...)
	}
	if g.Schema != Schema || g.Number <= 0 || len(g.Apps) > appsMax {
		return bad("schema %d, number %d, %d apps", g.Schema, g.Number, len(g.Apps))
	}
	apps, commands := map[string]bool{}, map[string]bool{}
	for _, a := range g.Apps {
		if !nameOK.MatchString(a.App) || apps[a.App] {
			return bad("app %q is named twice or badly", clip(a.App, 80))
		}
		apps[a.App] = true
		files := map[string]bool{}
		for _, p := range a.Programs {
			if !fileOK.MatchString(p.File) || files[p.File] {
				return bad("app %s: program file %q is named twice or badly", a.App, clip(p.File, 80))
			}
			files[p.File] = true
			if _, err := digest.Parse(string(p.Digest)); err != nil || p.Size < 0 {
				return bad("app %s: program %s: no digest or size", a.App, p.File)
			}
		}
		for name, artifact := range a.Commands {
			if commands[name] || appfile.CheckCommand(name) != nil || a.program(artifact) == nil {
				return bad("app %s: command %q is named twice or badly, or has no program here", a.App, clip(name, 80))
			}
			commands[name] = true
		}
		for name, s := range a.Services {
			if !nameOK.MatchString(name) {
				return bad("app %s: service %q is named badly", a.App, clip(name, 80))
			}
			if a.program(s.Artifact) == nil {
				return bad("app %s: service %s runs artifact %q, which is not a program here", a.App, name, clip(s.Artifact, 80))
			}
			for folder := range s.Data {
				if !fileOK.MatchString(folder) {
					return bad("app %s: service %s: data folder %q is named badly", a.App, name, clip(folder, 80))
				}
			}
		}
	}
	return nil
}

// readGeneration reads and checks the document of the folder dir, from its
// copy when the first is damaged.
func readGeneration(dir string, number int) (*Generation, error) {
	var first error
	for _, name := range []string{documentName, documentCopy} {
		g, err := readDocument(filepath.Join(dir, name))
		if err == nil && g.Number != number {
			err = fmt.Errorf("generation document: of generation %d, not %d", g.Number, number)
		}
		if err == nil {
			return g, nil
		}
		if first == nil {
			first = err
		}
	}
	return nil, fmt.Errorf("%s: %w", dir, first)
}

func readDocument(path string) (*Generation, error) {
	file, err := fsx.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return decodeGeneration(file)
}

// verifyGeneration returns what is wrong with the programs of g in dir. Sizes and
// kinds always; every byte when deep.
func verifyGeneration(dir string, g *Generation, deep bool) error {
	for _, a := range g.Apps {
		for _, p := range a.Programs {
			path := filepath.Join(dir, a.ProgramPath(p))
			info, err := os.Lstat(path)
			if err != nil {
				return err
			}
			if !info.Mode().IsRegular() || info.Size() != p.Size || !p.Data && info.Mode()&0o111 == 0 {
				return fmt.Errorf("%s: %s of %d bytes, want %s of %d", path, info.Mode(), info.Size(), p.Mode(), p.Size)
			}
			if deep {
				if err := verifyFile(path, p); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func verifyFile(path string, p Program) error {
	file, err := fsx.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	if _, err := io.Copy(io.Discard, digest.Reader(file, p.Digest, p.Size)); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// generationNumber returns the N of a folder name "N", or 0.
func generationNumber(name string) int {
	n := 0
	for _, c := range name {
		if c < '0' || c > '9' || n > 1e8 {
			return 0
		}
		n = n*10 + int(c-'0')
	}
	if strings.HasPrefix(name, "0") {
		return 0
	}
	return n
}

// sameDocument reports whether the file at path is exactly want.
func sameDocument(path string, want []byte) bool {
	b, err := fsx.ReadFile(path, documentMax)
	return err == nil && bytes.Equal(b, want)
}

// exists reports whether path is there.
func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil || !os.IsNotExist(err)
}

// Info returns the apps of g as a status shows them.
func (g *Generation) Info() []nodeapi.App {
	list := make([]nodeapi.App, len(g.Apps))
	for i, a := range g.Apps {
		list[i] = nodeapi.App{App: a.App, Version: a.Version, Release: a.Release, Commands: slices.Sorted(maps.Keys(a.Commands))}
	}
	return list
}
