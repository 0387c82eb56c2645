package dbtest

import (
	"errors"
	"slices"
	"testing"
	"time"

	"overland/internal/db"
	"overland/internal/digest"
	"overland/internal/errs"
)

const sha512 = "sha512:1"

func named(s string) digest.Digest { return digest.Of([]byte(s)) }

func images(t *testing.T, d *db.DB) {
	ctx := t.Context()
	layer, one, two := named("layer"), named("one"), named("two")
	must(t, d.AddRegistryBlob(ctx, "a", layer, at(1)))
	must(t, d.AddRegistryBlob(ctx, "b", layer, at(2)))
	same(t, "has", value[bool](t)(d.HasRegistryBlob(ctx, "a", layer)), true)
	same(t, "has not", value[bool](t)(d.HasRegistryBlob(ctx, "a", one)), false)
	same(t, "in", value[[]string](t)(d.RegistryBlobIn(ctx, layer)), []string{"a", "b"})

	must(t, d.AddRegistryAlias(ctx, sha512, layer, 5))
	must(t, d.AddRegistryAlias(ctx, sha512, one, 6)) // the first one stays
	same(t, "alias", value[digest.Digest](t)(d.RegistryAlias(ctx, sha512)), layer)
	same(t, "aliases", value[[]string](t)(d.RegistryAliases(ctx, layer)), []string{sha512})
	if _, err := d.RegistryAlias(ctx, "sha512:2"); errs.KindOf(err) != errs.NotFound {
		t.Errorf("an alias that is not known: %v", err)
	}

	m := db.Manifest{
		Blob: one, Digest: string(one), MediaType: "m", Size: 3, ArtifactType: "sbom", Annotations: map[string]string{"k": "v"},
		Children: []string{sha512}, Needs: []digest.Digest{layer}, At: at(10),
	}
	lacking := m
	lacking.Needs = []digest.Digest{layer, two}
	var lacks *db.LacksError
	if err := d.PutManifest(ctx, "a", lacking, []string{"v1"}, nil); !errors.As(err, &lacks) || lacks.Blob != two {
		t.Errorf("a manifest that lacks %s: %v", two, err)
	}
	if _, err := d.TaggedManifest(ctx, "a", "v1"); errs.KindOf(err) != errs.NotFound {
		t.Errorf("it left its tag: %v", err)
	}
	must(t, d.PutManifest(ctx, "a", m, []string{"v1", "v2"}, nil))
	about := db.Manifest{Blob: two, Digest: string(two), MediaType: "m", Size: 4, Subject: string(one), ArtifactType: "sbom", At: at(11), Needs: []digest.Digest{one}}
	must(t, d.PutManifest(ctx, "a", about, nil, nil))
	m.Children, m.Needs, about.Needs = nil, nil, nil // are not read back
	m.Wanted, about.Wanted = m.At, about.At
	same(t, "manifest", value[db.Manifest](t)(d.Manifest(ctx, "a", one)), m)
	same(t, "tagged", value[db.Manifest](t)(d.TaggedManifest(ctx, "a", "v2")), m)
	if _, err := d.Manifest(ctx, "b", one); errs.KindOf(err) != errs.NotFound {
		t.Errorf("a manifest of another repository: %v", err)
	}
	referrers := func(artifactType string, after *db.Manifest) (list []db.Manifest) {
		must(t, d.Referrers(ctx, "a", "x", string(one), artifactType, after, func(m db.Manifest) bool {
			list = append(list, m)
			return false // more are not wanted
		}))
		return list
	}
	same(t, "referrers", referrers("", nil), []db.Manifest{about})
	same(t, "of a type", referrers("sbom", nil), []db.Manifest{about})
	same(t, "of another", referrers("else", nil), []db.Manifest(nil))
	later := about
	later.Blob, later.Digest = named("later"), string(named("later"))
	must(t, d.PutManifest(ctx, "a", later, nil, nil))
	first, second := about, later
	if second.Blob < first.Blob { // of one moment
		first, second = second, first
	}
	same(t, "behind nothing", referrers("", nil), []db.Manifest{first})
	same(t, "behind the first", referrers("", &first), []db.Manifest{second})
	same(t, "behind the last", referrers("", &second), []db.Manifest(nil))
	must(t, d.RemoveManifest(ctx, "a", later.Blob, nil))

	never := errors.New("never")
	check := func(tag string, now digest.Digest) error {
		if tag != "v1" || now != one {
			t.Errorf("asked for %s, which is %s", tag, now)
		}
		return never
	}
	must(t, d.PutManifest(ctx, "a", m, []string{"v1"}, check)) // it stands for this already
	if err := d.PutManifest(ctx, "a", about, []string{"new", "v1"}, check); !errors.Is(err, never) {
		t.Errorf("a tag that must not move: %v", err)
	}
	same(t, "tags", value[[]string](t)(d.RegistryTags(ctx, "a", "", 9)), []string{"v1", "v2"})
	same(t, "a page", value[[]string](t)(d.RegistryTags(ctx, "a", "v1", 1)), []string{"v2"})
	must(t, d.PutManifest(ctx, "a", about, []string{"v2"}, nil))
	same(t, "moved", value[db.Manifest](t)(d.TaggedManifest(ctx, "a", "v2")).Blob, two)

	if err := d.RemoveRegistryBlob(ctx, "a", layer, []string{string(layer), sha512}); errs.KindOf(err) != errs.Conflict {
		t.Errorf("a blob that a manifest points to by its other name: %v", err)
	}
	if err := d.RemoveManifest(ctx, "a", one, check); !errors.Is(err, never) {
		t.Errorf("remove what a fixed tag stands for: %v", err)
	}
	must(t, d.RemoveManifest(ctx, "a", one, nil))
	same(t, "its tag went", value[[]string](t)(d.RegistryTags(ctx, "a", "", 9)), []string{"v2"})
	must(t, d.RemoveRegistryBlob(ctx, "a", layer, []string{string(layer), sha512}))
	must(t, d.RemoveRegistryTag(ctx, "a", "v2", at(20)))
	for what, err := range map[string]error{
		"manifest": d.RemoveManifest(ctx, "a", one, nil), "blob": d.RemoveRegistryBlob(ctx, "a", layer, nil), "tag": d.RemoveRegistryTag(ctx, "a", "v2", at(20)),
	} {
		if errs.KindOf(err) != errs.NotFound {
			t.Errorf("remove the %s again: %v", what, err)
		}
	}
	same(t, "repositories", value[[]string](t)(d.Repositories(ctx, "", 9)), []string{"a", "b"})
	same(t, "behind a", value[[]string](t)(d.Repositories(ctx, "a", 9)), []string{"b"})
	same(t, "is there", value[bool](t)(d.HasRepository(ctx, "a")), true)
	same(t, "is not", value[bool](t)(d.HasRepository(ctx, "c")), false)
	found := map[digest.Digest]bool{}
	must(t, d.RegistryBlobs(ctx, func(b digest.Digest) error { found[b] = true; return nil }))
	same(t, "blobs", found, map[digest.Digest]bool{layer: true, two: true})
	for b, want := range map[digest.Digest]bool{layer: true, one: true, named("never"): false} { // one is gone
		same(t, "came", value[bool](t)(d.RegistryCame(ctx, b)), want)
	}
}

// sweep takes what no manifest points to, by either name, and what came before.
func sweep(t *testing.T, d *db.DB) {
	ctx := t.Context()
	for i, name := range []string{"used", "by its sha512", "left", "new"} {
		must(t, d.AddRegistryBlob(ctx, "a", named(name), at(int64(i))))
	}
	must(t, d.AddRegistryBlob(ctx, "b", named("used"), at(0)))
	must(t, d.AddRegistryAlias(ctx, sha512, named("by its sha512"), 1))
	must(t, d.PutManifest(ctx, "a", db.Manifest{Blob: named("m"), Children: []string{string(named("used")), sha512}, At: at(0)}, nil, nil))
	same(t, "swept", value[int64](t)(d.SweepRegistryBlobs(ctx, at(3))), int64(2))
	for name, want := range map[string]bool{"used": true, "by its sha512": true, "left": false, "new": true} {
		same(t, name, value[bool](t)(d.HasRegistryBlob(ctx, "a", named(name))), want)
	}
	same(t, "in b", value[bool](t)(d.HasRegistryBlob(ctx, "b", named("used"))), false)
}

// untagged finds the manifests that nothing holds: a tag, an index, a subject, by either name, and being wanted do.
func untagged(t *testing.T, d *db.DB) {
	ctx := t.Context()
	put := func(repository, name, subject string, milli int64, tags []string, children ...string) {
		t.Helper()
		must(t, d.PutManifest(ctx, repository, db.Manifest{
			Blob: named(name), Digest: string(named(name)), Subject: subject, Children: children, At: at(milli),
		}, tags, nil))
	}
	name := func(s string) string { return string(named(s)) }
	must(t, d.AddRegistryAlias(ctx, sha512, named("leaf"), 1))
	must(t, d.AddRegistryAlias(ctx, "sha512:2", named("index"), 1))
	put("a", "leaf", "", 1, nil, name("layer"))
	put("a", "inner", "", 1, nil, sha512)
	put("a", "index", "", 1, []string{"v1"}, name("inner"))
	put("a", "about leaf", name("leaf"), 1, nil)
	put("a", "about that", name("about leaf"), 1, nil)
	put("a", "about index", "sha512:2", 1, nil)
	put("a", "about nothing here", name("never"), 1, nil)
	put("a", "left", "", 1, nil, name("part"))
	put("a", "part", "", 1, nil)
	put("a", "about left", name("left"), 1, nil)
	put("a", "new", "", 5, nil, name("old part"))
	put("a", "old part", "", 1, nil)
	put("a", "asked for", "", 1, nil)
	must(t, d.WantManifest(ctx, "a", named("asked for"), at(5)))
	must(t, d.WantManifest(ctx, "a", named("asked for"), at(2)))
	must(t, d.WantManifest(ctx, "a", named("never"), at(5)))
	put("b", "left", "", 1, []string{"v1"}) // elsewhere it has a tag
	put("b", "leaf", "", 1, nil)            // and elsewhere an index
	put("b", "new", "", 0, nil)             // as in a database that is older than the column: wanted from now on
	idle := func(before int64) (list []string) {
		t.Helper()
		for _, i := range value[[]db.Idle](t)(d.IdleManifests(ctx, at(before), at(9))) {
			for _, s := range []string{
				"leaf", "inner", "index", "about leaf", "about that", "about index", "about nothing here", "left", "part", "about left",
				"new", "old part", "asked for",
			} {
				if named(s) == i.Blob {
					list = append(list, i.Repository+" "+s)
				}
			}
		}
		slices.Sort(list)
		return list
	}
	want := []string{"a about left", "a about nothing here", "a left", "a part", "b leaf"}
	same(t, "idle", idle(5), want)
	same(t, "idle before all", idle(1), []string(nil))
	same(t, "swept", value[int64](t)(d.SweepManifests(ctx, "a", at(5))), int64(4))
	same(t, "again", value[int64](t)(d.SweepManifests(ctx, "a", at(5))), int64(0))
	same(t, "left", idle(5), want[4:])
	same(t, "has", value[db.Manifest](t)(d.TaggedManifest(ctx, "a", "v1")).Blob, named("index"))

	// What loses its tag is wanted until then, and holds what it held.
	put("a", "other", "", 6, []string{"v1"})
	same(t, "moved", idle(6), []string{"a asked for", "a new", "a old part", "b leaf"})
	must(t, d.RemoveRegistryTag(ctx, "b", "v1", at(7)))
	same(t, "removed", len(idle(7)), 10)
	same(t, "later", len(idle(8)), 11)
	put("a", "index", "", 8, nil)
	same(t, "pushed again", idle(8), []string{"a asked for", "a new", "a old part", "b leaf", "b left"})
}

func uploads(t *testing.T, d *db.DB) {
	ctx := t.Context()
	must(t, d.AddRegistryUpload(ctx, "u1", "a", "ann", at(1)))
	must(t, d.AddRegistryUpload(ctx, "u2", "b", "", at(2)))
	repository, account, err := d.RegistryUpload(ctx, "u1")
	must(t, err)
	same(t, "upload", [2]string{repository, account}, [2]string{"a", "ann"})
	same(t, "old", value[[]string](t)(d.OldRegistryUploads(ctx, at(2))), []string{"u1"})
	must(t, d.AddRegistryUpload(ctx, "u3", "b", "ann", at(3)))
	same(t, "surplus", value[[]string](t)(d.SurplusRegistryUploads(ctx, "ann", 1)), []string{"u1"})
	same(t, "no surplus", value[[]string](t)(d.SurplusRegistryUploads(ctx, "ann", 2)), []string(nil))
	must(t, d.RemoveRegistryUpload(ctx, "u1"))
	must(t, d.RemoveRegistryUpload(ctx, "u1"))
	if _, _, err := d.RegistryUpload(ctx, "u1"); errs.KindOf(err) != errs.NotFound {
		t.Errorf("an upload that ended: %v", err)
	}
}

func logins(t *testing.T, d *db.DB) {
	ctx := t.Context()
	ann := db.Login{Name: "ann", Secret: "s1", Grants: []db.Grant{{Action: "push", Pattern: "a"}}, Made: at(1), Expires: at(9)}
	bob := db.Login{Name: "bob", Secret: "s2", Grants: []db.Grant{}, Made: at(2), Expires: time.Time{}}
	must(t, d.AddLogin(ctx, bob))
	must(t, d.AddLogin(ctx, ann))
	for what, l := range map[string]db.Login{"name": {Name: "ann", Secret: "s3"}, "secret": {Name: "eve", Secret: "s1"}} {
		if err := d.AddLogin(ctx, l); errs.KindOf(err) != errs.Conflict {
			t.Errorf("a %s that is taken: %v", what, err)
		}
	}
	same(t, "one", value[db.Login](t)(d.Login(ctx, "s1")), ann)
	same(t, "all", value[[]db.Login](t)(d.Logins(ctx)), []db.Login{ann, bob})
	must(t, d.RemoveLogin(ctx, "ann"))
	if err := d.RemoveLogin(ctx, "ann"); errs.KindOf(err) != errs.NotFound {
		t.Errorf("again: %v", err)
	}
	if _, err := d.Login(ctx, "s1"); errs.KindOf(err) != errs.NotFound {
		t.Errorf("a login that is gone: %v", err)
	}
}
