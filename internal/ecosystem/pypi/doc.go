// Package pypi records and replays Python package indexes: record's protocol "pypi".
//
// Parties and documents:
//
//	index     the one that pip's configuration names, else pip's built-in one; pip is asked before the first fetch
//	          (Machine)
//	project   what the index says of one project, NAME: JSON (PEP 691), or a page of HTML (PEP 503) from an index that has
//	          no JSON. A client that reads HTML only gets an entry of its own, NAME#html
//	file      a wheel or a source archive, NAME/FILE, immutable; its hash stands in the project
//	metadata  of a wheel, NAME/FILE.metadata, beside it (PEP 658)
//
// Files may be on any host, but only where the project says: that is where Locate finds their
// addresses. One that has a hash of the sha2 family there is stored only when it has that hash; one
// without is pinned by the lock alone. Projects are stored as they came; the addresses of archives
// in them are rewritten on serve.
//
// Failures guarded: a file that is not what the index promised, a project of another name, a page
// that is not an index (a captive portal), a file at a host that the index never named.
//
// Not served: the list of all projects, searches, uploads, signatures. Indexes beyond the first
// (--extra-index-url) and files at direct addresses are left to the session's proxy.
package pypi
