// Package fetch brings one blob into a store from many sources, over links
// that fail, crawl, censor and lie.
//
// Parties: a store.Store that receives the blob, and Sources that may have it, asked in
// order: an open volume, a stick, a mirror, the site. A Source is trusted for nothing; bytes
// are kept because of their digest.
//
// It promises:
//   - Resume is on disk: after kill -9, a cut or a full disk every byte that arrived is kept, also those of an
//     unfinished chunk.
//   - A watchdog, not a deadline: a source is left when no byte came for Options.Stall. 4 KB/s is a legal link.
//   - A blob with a chunk list (see docs/format/release.md) is verified each 1 MiB: a bad byte costs one chunk and names
//     its source, which this Fetcher never asks for that blob again.
//   - Nothing is unbounded without progress: a source is given up after Options.Attempts attempts in a row that brought
//     no new byte, and the whole call when no source is left. Any new byte starts the count again.
//   - Free space is checked before the first byte.
//
// The wire is docs/format/site.md. It touches only the store that it was given.
//
// Failure guarded: a download that never ends on a bad link, or starts again from nothing; a source
// that sends wrong bytes and is asked again.
package fetch
