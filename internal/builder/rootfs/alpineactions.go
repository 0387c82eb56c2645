package rootfs

import (
	"archive/tar"
	"bytes"
	"fmt"
	"path"
	"slices"
	"strings"

	"overland/internal/errs"
)

// apkScripts are the scripts that a package may have, in the order in which apk stores them.
var apkScripts = []string{"pre-install", "post-install", "pre-deinstall", "post-deinstall", "pre-upgrade", "post-upgrade", "trigger"}

// apkActions are by the names of packages: what matters of their scripts and triggers on an empty machine.
var apkActions = map[string]action{
	"alpine-baselayout": apkBaselayout,
	"busybox":           apkBusybox,
	"ca-certificates":   apkCertificates,
}

// inert reports whether script has nothing but comments and the usual frame.
func inert(script string) bool {
	for line := range strings.Lines(script) {
		switch line = strings.TrimSpace(line); {
		case line == "", strings.HasPrefix(line, "#"), line == "set -e", line == "set -eu", line == "exit 0", line == ":":
		default:
			return false
		}
	}
	return true
}

// unknown returns the error for a package whose script is neither in the table nor inert.
func unknown(name, script string) error {
	return without(errs.Errorf(errs.Invalid, "%s has a script (%s) that is not known here, and none is run", name, script), name)
}

// without is err with the ways around the script of the package name.
func without(err error, name string) error {
	return errs.Hint(err, "leave %s out, or name it under skip-scripts when the root file system does without what the script does", name)
}

// known returns an error for a script that is run when a package is installed, and that is neither in the table nor without effect. A
// trigger is looked at when it is known which folders there are.
func (in *apkInstalled) known(root *Root, kind, text string) error {
	if kind != "pre-install" && kind != "post-install" || inert(text) || apkActions[in.Name] != nil || slices.Contains(root.SkipScripts, in.Name) {
		return nil
	}
	return unknown(in.Name, kind)
}

// triggered returns a folder of t for which the trigger of the package would run; "" when there is none.
func (in *apkInstalled) triggered(t *tree) string {
	at := slices.IndexFunc(in.scripts, func(s apkScript) bool { return s.name == "trigger" && !inert(s.text) })
	if at < 0 {
		return ""
	}
	folders := map[string]bool{}
	for name, e := range t.entries {
		if e.kind == tar.TypeDir {
			folders["/"+name] = true
		}
		for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
			folders["/"+dir] = true
		}
	}
	var all []string
	for dir := range folders {
		all = append(all, dir)
	}
	slices.Sort(all)
	for _, dir := range all {
		for _, pattern := range in.Triggers {
			if ok, err := path.Match(strings.TrimPrefix(pattern, "+"), dir); ok || err != nil {
				return dir
			}
		}
	}
	return ""
}

// apkBaselayout gives the file of passwords to its group.
func apkBaselayout(t *tree) error {
	groups, err := ids(t, "etc/group")
	if err != nil {
		return err
	}
	for _, name := range []string{"etc/shadow", "etc/shadow-"} {
		if gid, known := groups["shadow"]; known && t.has(name) {
			t.entries[name].uid, t.entries[name].gid = 0, gid
		}
	}
	return nil
}

// apkBusybox makes the links that busybox --install makes: where there is a folder for them, and nothing yet.
func apkBusybox(t *tree) error {
	const list = "etc/busybox-paths.d/busybox"
	if !t.has(list) {
		return errs.Hint(errs.Errorf(errs.Invalid, "it has no file %s, so it is not known which links it makes", list),
			"name busybox under skip-scripts: then it has no links")
	}
	b, err := t.read(list)
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(b)) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		name, err := t.clean(strings.TrimPrefix(line, "/"))
		if err != nil {
			return err
		}
		if dir := t.entries[path.Dir(name)]; dir == nil || dir.kind != tar.TypeDir {
			continue
		}
		if err := t.link(name, "/bin/busybox"); err != nil {
			return err
		}
	}
	return nil
}

// apkCertificates makes a link to each certificate that is not turned off, a link by the hash of its subject to that, and the bundle,
// unless the package ca-certificates-bundle has it.
func apkCertificates(t *tree) error {
	const from, to = "usr/share/ca-certificates", "etc/ssl/certs"
	b, err := t.read("etc/ca-certificates.conf")
	if err != nil {
		return err
	}
	var bundle bytes.Buffer
	hashes := map[string]int{}
	for line := range strings.Lines(string(b)) {
		rel := strings.TrimSpace(line)
		if rel == "" || rel[0] == '#' || rel[0] == '!' {
			continue
		}
		name := path.Join(from, rel)
		text, err := t.read(name)
		if err != nil {
			return err
		}
		bundle.Write(text)
		bundle.WriteByte('\n')
		pemName := "ca-cert-" + strings.NewReplacer(" ", "_", ",", "_", "(", "=", ")", "=").Replace(strings.TrimSuffix(path.Base(rel), ".crt")) + ".pem"
		if err := t.link(path.Join(to, pemName), "/"+name); err != nil {
			return err
		}
		hash, err := subjectHash(text)
		if err != nil {
			return errs.E(errs.Invalid, fmt.Errorf("%s: %w", name, err))
		}
		if err := t.link(fmt.Sprintf("%s/%s.%d", to, hash, hashes[hash]), pemName); err != nil {
			return err
		}
		hashes[hash]++
	}
	return t.write(to+"/ca-certificates.crt", fileMode, bundle.Bytes())
}
