package record

import (
	"cmp"
	"net/http"
	"slices"
	"strings"

	"overland/internal/errs"
	"overland/internal/lockfile"
)

// variant is one answer of a recording to a question of a key that has several.
type variant struct {
	header http.Header // of the request
	entry  lockfile.Entry
}

// nameOf returns under what the answer to it is held.
func (r *Recorder) nameOf(it Item) name {
	n := name{it.Protocol, it.Key, ""}
	if it.Whole {
		r.mu.Lock()
		defer r.mu.Unlock()
		n.asked = question(it.Header, r.varies(n))
	}
	return n
}

// varies returns the fields that the origin is known to heed for n, without n.asked. The caller holds r.mu.
func (r *Recorder) varies(n name) (list []string) {
	list = slices.Clone(r.vary[n.line()])
	for _, e := range r.lock.Variants(n.protocol, n.key) {
		list = append(append(list, e.Asked.Names()...), varied(e.Header)...)
	}
	return list
}

// line returns n for all that differ in what was asked.
func (n name) line() name { return name{n.protocol, n.key, ""} }

// learn notes what e, the answer to it, says of what the origin heeds, and returns under what it is
// held from now on.
func (r *Recorder) learn(it Item, e lockfile.Entry) name {
	n := name{it.Protocol, it.Key, ""}
	if !it.Whole {
		return n
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	old := question(it.Header, r.varies(n))
	list := r.vary[n]
	for _, field := range varied(e.Header) {
		if !slices.Contains(list, field) {
			list = append(list, field)
		}
	}
	if len(list) > len(r.vary[n]) {
		r.vary[n] = list
		r.rename(n)
	}
	delete(r.wrong, name{n.protocol, n.key, old})
	n.asked = question(it.Header, r.varies(n))
	r.asks[n] = it.Header
	return n
}

// rename holds every answer of line under what the origin is now known to heed. The caller holds r.mu.
func (r *Recorder) rename(line name) {
	for n, header := range r.asks {
		to := line
		to.asked = question(header, r.varies(line))
		if n.line() != line || to == n {
			continue
		}
		delete(r.asks, n)
		r.asks[to] = header
		if e, ok := r.have[n]; ok {
			delete(r.have, n)
			r.have[to] = e
		}
	}
}

// answers reports whether e, which is held, answers a further question of it, too: a failure may have
// passed meanwhile, and a part is not the whole.
func answers(it Item, e lockfile.Entry) bool { return !it.Whole || !e.Failed() }

// wholeOf returns it as a question for the whole, when it asks for a range: an origin that says that it
// serves ranges would serve them of that.
func wholeOf(it Item) (Item, bool) {
	if !it.Whole || asked(it.Header, "range") == "" {
		return it, false
	}
	it.Header = it.Header.Clone()
	it.Header.Del("Range")
	return it, true
}

// ranged reports whether ranges can be served of e as its origin would.
func ranged(e lockfile.Entry) bool {
	accepts, _ := e.Header.Get("accept-ranges")
	_, encoded := e.Header.Get("content-encoding")
	return e.Status == http.StatusOK && !encoded && (accepts == "bytes" || e.Header == "")
}

// lines returns the lines of a lock for what was recorded of one key, beside those of locked, which
// stay. The fewest fields that tell the answers apart are named.
func (r *Recorder) lines(key string, list []variant, locked []lockfile.Entry) []lockfile.Entry {
	list = slices.DeleteFunc(list, func(v variant) bool { return slices.Contains(locked, v.entry) })
	login := func(e lockfile.Entry) bool { return e.Status == http.StatusUnauthorized }
	if slices.ContainsFunc(list, func(v variant) bool { return !login(v.entry) }) || len(locked) > 0 {
		list = slices.DeleteFunc(list, func(v variant) bool { return login(v.entry) }) // a replay asks nobody
	}
	slices.SortFunc(list, func(a, b variant) int { return cmp.Compare(question(a.header, nil), question(b.header, nil)) })
	fields := map[string]bool{}
	for _, name := range strict() {
		fields[name] = true
	}
	for i := range list {
		e := &list[i].entry
		e.Header = r.who.kept(key, e.Header)
		for _, name := range varied(e.Header) {
			fields[name] = fields[name] || !lockfile.Secret(name) && name != "accept-encoding"
		}
		_, encoded := e.Header.Get("content-encoding")
		fields["accept-encoding"] = fields["accept-encoding"] || encoded
		fields["range"] = fields["range"] || e.Status == http.StatusPartialContent || e.Status == http.StatusRequestedRangeNotSatisfiable
	}
	for _, e := range locked {
		for _, name := range e.Asked.Names() {
			fields[name] = true
		}
	}
	for i, a := range list {
		for _, b := range list[:i] {
			if same(a.entry, b.entry) || apart(a.header, b.header, fields) {
				continue
			}
			for _, name := range differing(a.header, b.header) {
				fields[name] = true
			}
		}
	}
	var out []lockfile.Entry
	for _, v := range list {
		v.entry.Asked = r.who.asked(v.header, fields)
		if !slices.ContainsFunc(out, func(e lockfile.Entry) bool { return e.Asked == v.entry.Asked }) {
			out = append(out, v.entry)
		}
	}
	return out
}

// asked returns what a lock says of a question with the header h.
func (i *identities) asked(h http.Header, fields map[string]bool) lockfile.Fields {
	var lines []string
	for name, counts := range fields {
		v := asked(h, name)
		switch {
		case !counts || v == "":
			continue
		case name == "cookie":
			v = i.cookies(v)
		case lockfile.Secret(name):
			v = i.of(v)
		}
		lines = append(lines, name+": "+v)
	}
	return lockfile.NewFields(lines)
}

// same reports whether a and b are one answer: what an origin says anew each time does not count.
func same(a, b lockfile.Entry) bool {
	return a.Status == b.Status && a.Blob == b.Blob && lasting(a.Header) == lasting(b.Header)
}

func lasting(f lockfile.Fields) lockfile.Fields {
	return lockfile.NewFields(slices.DeleteFunc(f.Lines(), func(line string) bool {
		name, _, _ := strings.Cut(line, ":")
		return slices.Contains([]string{"cache-control", "etag", "last-modified", "retry-after", "set-cookie", "vary"}, name)
	}))
}

// apart reports whether a and b differ in one of fields.
func apart(a, b http.Header, fields map[string]bool) bool {
	for name, counts := range fields {
		if counts && asked(a, name) != asked(b, name) {
			return true
		}
	}
	return false
}

// differing returns the fields in which a and b differ, of those that an answer may depend on without
// its origin saying so.
func differing(a, b http.Header) (list []string) {
	names := thought()
	for _, h := range []http.Header{a, b} {
		for name := range h {
			if name = strings.ToLower(name); lockfile.Secret(name) {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return slices.DeleteFunc(slices.Compact(names), func(name string) bool { return asked(a, name) == asked(b, name) })
}

// usable returns an error when it holds what stands in a lock in the place of a secret, and the origin
// is to be asked: it would take the client for a stranger.
func usable(it Item) error {
	for name, values := range it.Header {
		if name = strings.ToLower(name); !it.Whole || !lockfile.Secret(name) {
			continue
		}
		for _, pair := range pairs(strings.Join(values, ";")) {
			_, v, _ := strings.Cut(pair, "=")
			if lockfile.IsMark(v) {
				return errs.Hint(errs.Errorf(errs.Conflict, "%s %s: its %s comes from a locked answer, and a lock does not hold its value", it.Protocol, it.Key, name),
					"record all of it anew: overland lock update -- COMMAND")
			}
		}
	}
	return nil
}
