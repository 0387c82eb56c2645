package nodecli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"overland/internal/agent"
	"overland/internal/agent/stage"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/nodeapi"
	"overland/internal/printer"
	"overland/internal/release"
	"overland/internal/release/inspect"
	"overland/internal/trust"
	"overland/internal/volume"
)

// chooseRoot returns the fingerprint to pin, or "" when the node has pinned one already (a --root
// that differs from it is the agent's to refuse). It never takes the source's word: --root,
// provisioning, or a person who compared.
func chooseRoot(ctx context.Context, e env, c *call, src stage.Source) (string, error) {
	if c.root != "" {
		fp, err := trust.ParseFingerprint(c.root)
		if err != nil {
			return "", errs.E(errs.Invalid, fmt.Errorf("--root: %w", err))
		}
		return string(fp), nil
	}
	s, err := agent.Peek(c.dir)
	if s.Root != "" || errs.KindOf(err) == errs.Denied { // somebody else's node has a root that is not seen
		return "", err
	}
	fp, err := provisioned(provisionedRoot)
	if err != nil || fp != "" {
		return string(fp), err
	}
	offered, err := stage.OfferedRoot(ctx, src)
	if err != nil {
		return "", err
	}
	if !e.terminal {
		return "", errs.Hint(errs.Errorf(errs.Untrusted, "no root of trust is pinned on this machine, and nobody is here to compare"),
			"get the fingerprint of %s from its maker (\"overland trust show\"), by another way than the volume itself, and add --root FINGERPRINT", src.Name())
	}
	showAsked(ctx, e, src)
	printer.Fprintf(e.err, `
This machine trusts nobody yet. %s says that its root of trust is

    %s

Compare it with the one that its maker gave you by another way ("overland trust show" prints it).
Type yes when every character is the same: `, src.Name(), offered.Groups())
	answer, err := e.ask()
	if err != nil {
		return "", err
	}
	if answer != "yes" {
		return "", errs.Hint(errs.Errorf(errs.Untrusted, "the root of trust was not confirmed: nothing was installed"),
			"ask for the fingerprint and install again, or add --root FINGERPRINT")
	}
	return string(offered), nil
}

// showAsked shows what the services in src ask for beyond the least, before a person trusts who made
// it. A site or a folder does not say what is in it before it is trusted.
func showAsked(ctx context.Context, e env, src stage.Source) {
	const most = 20 // lines: the question stays on the screen
	v, ok := src.(*volume.Volume)
	if !ok {
		return
	}
	tags, err := v.Tags()
	var lines []string
	for _, t := range tags {
		r, rerr := release.Read(ctx, v, t.Digest)
		if rerr != nil {
			err = errors.Join(err, rerr)
			continue
		}
		for _, asked := range inspect.Asks(r) {
			lines = append(lines, r.App+"@"+r.Version+" "+asked)
		}
	}
	slices.Sort(lines)
	if len(lines) > 0 {
		e.say("\nIts services ask for more than the least:")
	}
	for _, line := range lines[:min(most, len(lines))] {
		e.say("    %s", line)
	}
	if more := len(lines) - most; more > 0 {
		e.say("    and %d more: %s inspect %s", more, Program, src.Name())
	}
	if err != nil {
		e.say("note: not all of what it asks for can be read: %v", err)
	}
}

// provisioned returns the fingerprint in file path, "" when there is no such file.
func provisioned(path string) (trust.Fingerprint, error) {
	return provision(path, trust.ParseFingerprint)
}

// provision returns what the file path says, by parse, "" when there is no such file.
func provision[T ~string](path string, parse func(string) (T, error)) (T, error) {
	const longest = 4 << 10
	b, err := fsx.ReadFile(path, longest)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil && !errors.Is(err, fsx.ErrTooLong) {
		return "", fmt.Errorf("provisioned: %w", err)
	}
	var said T
	if err == nil {
		err = decidedHere(path)
	}
	if err == nil {
		said, err = parse(strings.TrimSpace(string(b)))
	}
	if err != nil {
		return "", errs.Hint(errs.E(errs.Untrusted, fmt.Errorf("provisioned %s: %w", path, err)), "mend or remove the file")
	}
	return said, nil
}

// decidedHere returns an error when somebody else than root or this user may have written the file path,
// or put it there: it, what it leads to, or a folder above is another user's, or open to others.
func decidedHere(path string) error {
	const others, owners = 0o022, "chown root:root and chmod go-w"
	whole, err := filepath.EvalSymlinks(path)
	if err != nil {
		return err
	}
	for _, at := range []string{whole, filepath.Dir(path)} {
		for {
			info, err := os.Stat(at)
			if err != nil {
				return err
			}
			s, ok := info.Sys().(*syscall.Stat_t)
			if !ok || s.Uid != 0 && int(s.Uid) != os.Geteuid() {
				return errs.Hint(fmt.Errorf("%s belongs to another user", at), owners)
			}
			if info.Mode()&others != 0 && info.Mode()&fs.ModeSticky == 0 {
				return errs.Hint(fmt.Errorf("others may write to %s", at), owners)
			}
			if at == filepath.Dir(at) {
				break
			}
			at = filepath.Dir(at)
		}
	}
	return nil
}

// chooseChannel returns the channel to follow, or "" when the node follows one already. On a first
// installation it is --channel, provisioning, or what a person types: the source's own word is
// shown to that person, and never taken without one.
func chooseChannel(e env, c *call, src stage.Source) (string, error) {
	s, peekErr := agent.Peek(c.dir)
	if c.channel != "" {
		ch, err := release.ParseChannel(c.channel)
		if err == nil && peekErr == nil && s.Channel != "" && s.Channel != string(ch) {
			err = confirmChannel(e, c, s, string(ch))
		}
		return string(ch), err
	}
	if peekErr == nil && s.Channel != "" {
		return "", stage.OtherChannel(src, s.Channel)
	}
	ch, err := provision(provisionedChannel, release.ParseChannel)
	if err != nil || ch != "" {
		return string(ch), err
	}
	if stage.Live(src) { // the only one, by what is signed
		return "", nil
	}
	offered := strings.Join(stage.OfferedChannels(src), ", ")
	if !e.terminal {
		return "", stage.WithoutChannel(src)
	}
	if offered == "" {
		offered = "nothing about it"
	}
	printer.Fprintf(e.err, `
This machine follows no channel yet. Its operator says which one it is for, beside the fingerprint; whoever
carries %s cannot know. It says: %s
The channel to follow: `, src.Name(), offered)
	answer, err := e.ask()
	if err != nil {
		return "", err
	}
	if answer == "" {
		return "", stage.WithoutChannel(src)
	}
	ch, err = release.ParseChannel(answer)
	return string(ch), err
}

// confirmChannel lets a node that runs s follow channel to instead: when a person at the terminal says
// yes, or --switch-channel did. What the new channel does not name is stopped.
func confirmChannel(e env, c *call, s nodeapi.Status, to string) error {
	if c.switchChannel {
		return nil
	}
	refused := errs.Hint(errs.Errorf(errs.Conflict, "this machine follows channel %s, and is not made to follow %s by the way: nothing was installed", s.Channel, to),
		"add --switch-channel to change it, which stops what %s does not name; or leave out --channel", to)
	if !e.terminal {
		return refused
	}
	printer.Fprintf(e.err, `
This machine follows channel %s, and is to follow %s from now on. What %[2]s does not name is stopped; its data stays.
`, s.Channel, to)
	for _, a := range s.Apps {
		e.say("    runs now: %s@%s", a.App, a.Version)
	}
	printer.Fprintf(e.err, "Type yes to change the channel: ")
	answer, err := e.ask()
	if err != nil {
		return err
	}
	if answer != "yes" {
		return refused
	}
	return nil
}
