package resolve_test

import (
	"fmt"
	"strings"
	"testing"

	"overland/internal/deb"
	"overland/internal/deb/resolve"
	"overland/internal/errs"
)

// small returns a pool of the packages of text: a paragraph for each, of which all but the names may be left out.
func small(t *testing.T, texts ...string) *resolve.Pool {
	t.Helper()
	pool := resolve.NewPool("armel")
	for i, text := range texts {
		a := &resolve.Archive{Name: fmt.Sprint("archive", i), Priority: i % 2}
		for one := range strings.SplitSeq(strings.TrimSpace(text), "\n\n") {
			if !strings.Contains(one, "Version:") {
				one += "\nVersion: 1"
			}
			if !strings.Contains(one, "Architecture:") {
				one += "\nArchitecture: armel"
			}
			one = strings.ReplaceAll(one+"\nFilename: a\nSize: 1\nSHA256: "+strings.Repeat("0", 64)+"\n", "\n\n", "\n")
			if err := deb.ReadPackages(strings.NewReader(one), func(p *deb.Package) error { pool.Add(a, p); return nil }); err != nil {
				t.Fatal(err)
			}
		}
	}
	return pool
}

const someIndex = `
Package: a
Depends: b, v

Package: b
Depends: c (>= 2) | d

Package: c

Package: d

Package: p1
Provides: v
Priority: optional

Package: p2
Provides: v (= 3)
Priority: standard

Package: versioned
Depends: v (>= 3)

Package: newer
Depends: v (>> 3)

Package: enemy
Conflicts: d

Package: one
Depends: x | y

Package: x
Conflicts: two

Package: y

Package: two

Package: deep
Depends: left, right

Package: left
Depends: x | y

Package: right
Breaks: x

Package: self
Conflicts: v
Provides: v

Package: foreign
Architecture: amd64

Package: any
Depends: c:any

Package: allowed
Multi-Arch: allowed

Package: any2
Depends: allowed:any

Package: circle
Depends: circle2

Package: circle2
Depends: circle

Package: hole
Depends: nothing | y, pit

Package: pit
Depends: nothing
`

func TestSmallSets(t *testing.T) {
	pool := small(t, someIndex)
	for name, test := range map[string]struct {
		r    resolve.Request
		want string // names, or what the error says
	}{
		"first that can be had": {resolve.Request{Packages: []string{"b"}}, "b d"},
		"the higher priority":   {resolve.Request{Packages: []string{"a"}}, "a b d p2"},
		"one that is there":     {resolve.Request{Packages: []string{"a", "p1"}}, "a b d p1"},
		"excluded":              {resolve.Request{Packages: []string{"a"}, Exclude: []string{"p2"}}, "a b d p1"},
		"versioned provides":    {resolve.Request{Packages: []string{"versioned", "p1"}}, "p1 p2 versioned"},
		"too old":               {resolve.Request{Packages: []string{"newer"}}, "newer depends on v (>> 3), which no archive has"},
		"a conflict":            {resolve.Request{Packages: []string{"a", "enemy"}}, "enemy conflicts with d, which is d 1; b depends on c (>= 2) | d (needed by a)"},
		"two wishes":            {resolve.Request{Packages: []string{"d", "enemy"}}, "enemy conflicts with d, which is d 1"},
		"the other alternative": {resolve.Request{Packages: []string{"one", "two"}}, "one two y"},
		"going back":            {resolve.Request{Packages: []string{"deep"}}, "deep left right y"},
		"not with itself":       {resolve.Request{Packages: []string{"self"}}, "self"},
		"with others like it":   {resolve.Request{Packages: []string{"self", "p1"}}, "self conflicts with v, which is p1 1"},
		"another architecture":  {resolve.Request{Packages: []string{"foreign"}}, "no archive has a package foreign for armel"},
		"not allowed":           {resolve.Request{Packages: []string{"any"}}, "any depends on c:any, which no archive has"},
		"allowed":               {resolve.Request{Packages: []string{"any2"}}, "allowed any2"},
		"a circle":              {resolve.Request{Packages: []string{"circle"}}, "circle circle2"},
		"only provided":         {resolve.Request{Packages: []string{"v"}}, "v is not a package: others provide it"},
		"unknown":               {resolve.Request{Packages: []string{"zzz"}}, "no archive has a package zzz for armel"},
		"wanted and excluded":   {resolve.Request{Packages: []string{"a"}, Exclude: []string{"a"}}, "a is wanted and excluded"},
		"needed and excluded":   {resolve.Request{Packages: []string{"a"}, Exclude: []string{"d"}}, "b depends on c (>= 2) | d, which no archive has: there is c 1"},
		"pinned":                {resolve.Request{Packages: []string{"a"}, Pins: map[string]string{"a": "2"}}, "a is pinned to 2; there is 1"},
		"cut":                   {resolve.Request{Packages: []string{"a"}, Cuts: []resolve.Cut{{"b", "c"}, {"c", "d"}, {"a", "zzz"}}}, "a b p2 without [{b c}]"},
		"a hole further down":   {resolve.Request{Packages: []string{"hole"}}, "pit depends on nothing, which no archive has"},
	} {
		t.Run(name, func(t *testing.T) {
			answer, err := pool.Resolve(test.r)
			if err != nil {
				if errs.KindOf(err) != errs.Invalid || !strings.Contains(err.Error(), test.want) {
					t.Errorf("%v; want %s", err, test.want)
				}
				return
			}
			var names []string
			for _, p := range answer.Packages {
				names = append(names, p.Name)
			}
			got := strings.Join(names, " ")
			if answer.Cuts != nil {
				got += fmt.Sprint(" without ", answer.Cuts)
			}
			if got != test.want {
				t.Errorf("%s; want %s", got, test.want)
			}
		})
	}
}

func TestSeveralArchives(t *testing.T) {
	pool := small(t, "Package: a\nVersion: 1\n\nPackage: b\nVersion: 1", "Package: a\nVersion: 0.9", "Package: b\nVersion: 2", "Package: c\nDepends: a (= 1)")
	for _, test := range []struct{ wish, pin, want string }{
		{"a", "", "a 0.9 of archive1"},
		{"a", "1", "a 1 of archive0"},
		{"b", "", "b 2 of archive2"},
		{"b", "1", "b 1 of archive0"},
		{"c", "", "c depends on a (= 1), which no archive has: there is a 0.9"},
		{"c", "a=1", "a 1 of archive0"},
	} {
		r := resolve.Request{Packages: []string{test.wish}, Pins: map[string]string{}}
		if name, version, ok := strings.Cut(test.pin, "="); ok {
			r.Pins[name] = version
		} else if test.pin != "" {
			r.Pins[test.wish] = test.pin
		}
		answer, err := pool.Resolve(r)
		var got string
		if err != nil {
			got = err.Error()
		} else {
			got = fmt.Sprintf("%s %s of %s", answer.Packages[0].Name, answer.Packages[0].Version, answer.Packages[0].Archive.Name)
		}
		if !strings.Contains(got, test.want) {
			t.Errorf("%s, pin %q: %s", test.wish, test.pin, got)
		}
	}
}

// TestChoicesThatDoNotMatter has twenty choices before what cannot be had, and none of them changes that.
func TestChoicesThatDoNotMatter(t *testing.T) {
	needs, text := "", ""
	for i := range 20 {
		needs += fmt.Sprintf("n%d, ", i)
		text += fmt.Sprintf("\n\nPackage: n%d\nDepends: l%d | r%d\n\nPackage: l%d\n\nPackage: r%d", i, i, i, i, i)
	}
	pool := small(t, "Package: top\nDepends: "+needs+"last"+text+"\n\nPackage: last\nConflicts: n0")
	_, err := pool.Resolve(resolve.Request{Packages: []string{"top"}})
	if err == nil || !strings.Contains(err.Error(), "last conflicts with n0, which is n0 1; top depends on last; n0 is there for top") || errs.HintOf(err) == "" {
		t.Error(err)
	}
}

// TestThereIsAnEnd has more pigeons than holes: it takes too long to find out that they do not fit.
func TestThereIsAnEnd(t *testing.T) {
	const pigeons, holes = 10, 9
	var needs, text []string
	for p := range pigeons {
		var some, others []string
		for h := range holes {
			some = append(some, fmt.Sprintf("p%dh%d", p, h))
			others = append(others, fmt.Sprintf("Package: p%dh%d\nProvides: h%d\nConflicts: h%d", p, h, h, h))
		}
		needs = append(needs, fmt.Sprint("p", p))
		text = append(text, fmt.Sprintf("Package: p%d\nDepends: %s", p, strings.Join(some, " | ")), strings.Join(others, "\n\n"))
	}
	pool := small(t, "Package: top\nDepends: "+strings.Join(needs, ", ")+"\n\n"+strings.Join(text, "\n\n"))
	if _, err := pool.Resolve(resolve.Request{Packages: []string{"top"}}); err == nil || !strings.Contains(err.Error(), "tries") {
		t.Error(err)
	}
}
