// Package server keeps a network cache: blobs by their sha512 and, for each key, a list of signed
// entries; who may write them; and which other network caches are asked for what is missing. Its
// HTTP face is package server/netcache.
//
//	DIR/format                    the layout's version
//	DIR/sha512/AB/…               one small file for each blob: which blob of the depot it is
//	DIR/dir/AB/HEX                the entries of one key, appended; HEX is the sha256 of the key
//	DIR/dir/AB/lock               taken to change a list below AB
//	DIR/policy.json               who may write; a person writes it, the site reads it
//	DIR/audit.log                 who wrote what, one JSON object on a line
//
// The blobs themselves are in the depot. Any number of processes may serve one directory.
//
// Failure guarded: an acknowledged entry or blob that is lost, or half there; a key that reaches a
// file of its own choice; an entry that makes the list of its key unreadable for old clients;
// upstreams that are down, slow, lie, or form a ring.
package server
