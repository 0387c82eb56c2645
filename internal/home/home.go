package home

import (
	"io/fs"
	"path/filepath"
	"slices"

	"overland/internal/fsx"
)

// Place is a file or folder of a site directory, by its slash-separated path below it.
type Place string

// The places. Table says what they are for.
const (
	Depot        Place = "depot"
	Trust        Place = "trust"
	Keys         Place = "keys"
	RootKeys     Place = "keys/root"
	TLS          Place = "tls"
	Settings     Place = "site.yaml"
	Locks        Place = "locks"
	Noted        Place = "noted-locks"
	Database     Place = "site.db"
	Netcache     Place = "netcache"
	Policy       Place = "netcache/policy.json"
	SharedCache  Place = "networkcache.cfg"
	Seen         Place = "netcache-seen"
	Upstream     Place = "upstream"
	Cache        Place = "cache"
	CacheIndex   Place = "cache/index.db"
	Sessions     Place = "cache/record"
	GoCache      Place = "cache/go-build"
	GoSeeds      Place = "cache/go-build/std"
	CommandCache Place = "cache/command"
	Builds       Place = "cache/builds"
	Work         Place = "cache/work"
	Pipelines    Place = "cache/pipelines"
)

// In returns the path of p in the site directory dir.
func (p Place) In(dir string) string { return filepath.Join(dir, filepath.FromSlash(string(p))) }

// Life says what removing a place loses.
type Life string

// The lives of a place.
const (
	Durable     Life = "durable"     // facts: keep a copy
	Rebuildable Life = "rebuildable" // time and network alone
	Yours       Life = "yours"       // written by a person
)

// Entry is a line of the table.
type Entry struct {
	Place
	Life Life
	Mode fs.FileMode // of a folder that only its owner may enter, or a file that only its owner may read; 0 = the umask's
	Dir  bool
	For  string // what it holds, for docs/format/home.md
}

// Table returns every place of a site directory. The life of a folder is that of all in it but
// for what has a line of its own.
func Table() []Entry {
	const private = 0o700
	return []Entry{
		{Depot, Durable, private, true, "blobs, an OCI image layout ([depot.md](depot.md))"},
		{Trust, Durable, 0, true, "every version of the signed metadata ([trust.md](trust.md)); empty until `overland trust init`"},
		{Keys, Durable, private, true, "signing keys; a site needs those of *snapshot* and *timestamp*, without a passphrase, " +
			"to keep the timestamp fresh"},
		{RootKeys, Durable, private, true, "private halves of root keys: carry this folder away, `--root-keys` names it when it is needed"},
		{TLS, Durable, private, true, "the key that nodes have pinned, and the certificate that carries it ([site.md](site.md))"},
		{Database, Durable, 0o600, false, "freezes, the offline switch, what is in the registry, who may push, who may write to the network cache and who wrote: SQLite, with " +
			"`site.db-wal` and `site.db-shm` while it is open; `site.db.schema-N` is a copy made before the schema changed"},
		{Netcache, Durable, 0, true, "the network cache: entries and names of blobs ([shacache.md](shacache.md#on-the-disk))"},
		{Policy, Yours, 0, false, "who may write to the network cache, and whose entries are known or revoked"},
		{Settings, Yours, 0, false, "how the site is served ([site-yaml.md](../reference/site-yaml.md))"},
		{Locks, Yours, 0, true, "`*.lock`: what these locks name is never evicted"},
		{Noted, Durable, 0o600, false, "paths of the lock files that were recorded with this directory, one a line: `overland depot gc` keeps what they name"},
		{SharedCache, Yours, 0, false, "where builds share results ([how to](../how-to/binary-cache.md))"},
		{Seen, Durable, 0, true, "the newest entries seen of network caches: an older one is refused"},
		{Upstream, Durable, 0, true, "of a site chained to others: the pinned root, and what was verified of their metadata"},
		{Cache, Rebuildable, private, true, "what was fetched for others and what builds remember"},
		{CacheIndex, Rebuildable, 0, false, "which blob is the answer to which request"},
		{Sessions, Rebuildable, private, true, "what recordings and replays need while they run"},
		{GoCache, Rebuildable, private, true, "what the builder `go` has compiled, one folder for each application; no command sees it"},
		{GoSeeds, Rebuildable, private, true, "the standard library, compiled, from which the cache of each application begins"},
		{CommandCache, Rebuildable, private, true, "what commands have compiled with Go, one folder for each application and repository"},
		{Builds, Rebuildable, 0, true, "which recipe made which artifact"},
		{Work, Rebuildable, 0, true, "checkouts and temporary files of builds"},
		{Pipelines, Rebuildable, private, true, "what steps of pipelines ended with, by the digest of their inputs, and their logs"},
	}
}

// Make makes the site directory dir with its depot and cache, which only their owner may enter:
// they hold what was fetched with the owner's logins. What exists keeps its mode: a person may
// have chosen it.
func Make(f fsx.FS, dir string) error {
	const private, usual = 0o700, 0o755
	if err := f.Mkdir(filepath.Dir(dir), usual); err != nil {
		return err
	}
	for _, path := range []string{dir, Depot.In(dir), Cache.In(dir)} {
		if err := f.Mkdir(path, private); err != nil {
			return err
		}
	}
	return nil
}

// Find returns the line of p; the zero Entry when p is in no line.
func Find(p Place) Entry {
	table := Table()
	i := slices.IndexFunc(table, func(e Entry) bool { return e.Place == p })
	if i < 0 {
		return Entry{}
	}
	return table[i]
}
