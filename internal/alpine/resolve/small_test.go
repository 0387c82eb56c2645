package resolve_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"overland/internal/alpine"
	"overland/internal/alpine/resolve"
	"overland/internal/errs"
)

// small returns a pool of repositories r0, r1 and so on, each a text with a line for each package:
// NAME-VERSION [D: …] [p: …] [i: …] [k: N] [A: ARCH], divided by semicolons.
func small(t *testing.T, texts ...string) *resolve.Pool {
	t.Helper()
	pool := resolve.NewPool("armhf")
	for i, text := range texts {
		var index strings.Builder
		for one := range strings.Lines(strings.TrimSpace(text)) {
			fields := strings.Split(strings.TrimSpace(one), "; ")
			at := strings.LastIndex(fields[0], " ")
			if !strings.Contains(one, "A:") {
				fields = append(fields, "A:armhf")
			}
			fmt.Fprintf(&index, "C:%s\nP:%s\nV:%s\nS:1\nI:1\n%s\n\n", alpine.Checksum(make([]byte, 20)), fields[0][:at], fields[0][at+1:], strings.Join(fields[1:], "\n"))
		}
		err := alpine.ReadInfos(bytes.NewReader(indexFile(t, index.String())), func(p *alpine.Info) error {
			pool.Add(fmt.Sprint("r", i), p)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return pool
}

const someIndex = `
tea 1; D:leaves water>1
tea 2; D:leaves water>1 sugar
leaves 1
water 1
water 2
water 3; A:x86_64
sugar 1; D:!salt
salt 1
soup 1; D:salt water<2
libtea 1; p:so:libtea.so.1=1.0
libtea 2; p:so:libtea.so.2=2.0
old 1; D:so:libtea.so.1
new 1; D:so:libtea.so.2
range 1; D:water>=1 water<2
fuzzy 1; D:water~1
mail 1; p:reader; k:1
mailplus 1; p:reader; k:2
reads 1; D:reader
shell-a 1; p:shell
shell-b 1; p:shell
needs-shell 1; D:shell
first 1; D:needs-shell
service-a 1; p:service=1
service-b 1; p:service=2
strict 1; D:service<2
doc 1
tea-doc 2; i:tea=2 doc
tea-man 2; i:tea=2 doc; D:nothing
milk 1
milk-tea 1; i:milk tea; D:foam
foam 1
chain 1; i:milk-tea foam
circle 1; D:circle2
circle2 1; D:circle
hole 1; D:pit
pit 1; D:nothing
self 1; p:self
other 1; p:libtea=3
enemy 1; D:!shell
either 1; D:fresh
either 0; D:water
fresh 1; D:salt sugar
choose 1; D:x-or-y x-and-z
xa 1; p:x-or-y=2; D:!za
xb 1; p:x-or-y=1
za 1; p:x-and-z=1
R 1; A:noarch
`

func TestSmallSets(t *testing.T) {
	pool := small(t, someIndex, "leaves 1.5\nextra 1; D:tea<2")
	for name, test := range map[string]struct {
		wishes, exclude string
		cuts            []resolve.Cut
		want            string // names with versions, as they are installed, or what the error says
	}{
		"newest":                  {wishes: "water", want: "water 2"},
		"a version":               {wishes: "water=1", want: "water 1"},
		"an older one":            {wishes: "water<2", want: "water 1"},
		"a prefix":                {wishes: "fuzzy", want: "water 1, fuzzy 1"},
		"a range":                 {wishes: "range", want: "water 1, range 1"},
		"what it needs":           {wishes: "tea", want: "leaves 1.5, water 2, sugar 1, tea 2"},
		"an older one that fits":  {wishes: "tea salt", want: "salt 1, leaves 1.5, water 2, tea 1"},
		"any architecture":        {wishes: "R", want: "R 1"},
		"of a repository":         {wishes: "leaves@r0", want: "leaves 1"},
		"of the other":            {wishes: "leaves@r1", want: "leaves 1.5"},
		"not in a repository":     {wishes: "tea@r1", want: "tea is not in the repository r1"},
		"no such repository":      {wishes: "tea@zzz", want: "there is no repository zzz"},
		"a library":               {wishes: "old", want: "libtea 1, old 1"},
		"two of one library":      {wishes: "old new", want: "so:libtea.so."},
		"the higher priority":     {wishes: "reader", want: "mailplus 1"},
		"of those that are named": {wishes: "reads mail", want: "mail 1, reads 1"},
		"a person must choose":    {wishes: "needs-shell", want: "shell is not a package: others provide it (needed by needs-shell)"},
		"deep down":               {wishes: "first", want: "shell is not a package: others provide it (needed by needs-shell, by first)"},
		"a person chose":          {wishes: "needs-shell shell-b", want: "shell-b 1, needs-shell 1"},
		"two without a version":   {wishes: "shell-a shell-b", want: "shell-a 1, shell-b 1"},
		"the newest name":         {wishes: "service", want: "service-b 1"},
		"an older name":           {wishes: "strict", want: "service-a 1, strict 1"},
		"two with a version":      {wishes: "service-a service-b", want: "service-a 1 and service-b 1 both have service"},
		"a newer name elsewhere":  {wishes: "libtea", want: "other 1"},
		"itself":                  {wishes: "self", want: "self 1"},
		"brought in":              {wishes: "tea doc", want: "doc 1, leaves 1.5, water 2, sugar 1, tea 2, tea-doc 2"},
		"not brought in":          {wishes: "tea<2 doc", want: "doc 1, leaves 1.5, water 2, tea 1"},
		"a chain of them":         {wishes: "tea milk", want: "milk 1, leaves 1.5, water 2, sugar 1, tea 2, foam 1, chain 1, milk-tea 1"},
		"a circle":                {wishes: "circle", want: "circle2 1, circle 1"},
		"going back":              {wishes: "either", want: "water 2, either 0"},
		"a newer one would clash": {wishes: "choose", want: "xb 1, za 1, choose 1"},
		"excluded":                {wishes: "reader", exclude: "mailplus", want: "mail 1"},
		"excluded by what it is":  {wishes: "shell-a", exclude: "shell", want: "shell-a 1 provides shell, which is excluded"},
		"wanted and excluded":     {wishes: "tea", exclude: "tea", want: "tea is wanted and excluded"},
		"needed and excluded":     {wishes: "old", exclude: "libtea", want: "old 1 depends on so:libtea.so.1, but libtea 1, which is excluded"},
		"a conflict":              {wishes: "sugar salt", want: "sugar 1 conflicts with salt, which cannot be left out, for salt is wanted"},
		"a conflict with a name":  {wishes: "enemy shell-a", want: "enemy conflicts with shell, which is shell-a 1"},
		"too old":                 {wishes: "water>2", want: "water>2 is wanted"},
		"two wishes":              {wishes: "soup water>1", want: "soup 1 depends on water<2, but there is water 1 and water>1 is wanted"},
		"unknown":                 {wishes: "zzz", want: "no repository has a package zzz for armhf"},
		"a hole further down":     {wishes: "hole", want: "pit 1 depends on nothing, which no repository has"},
		"not a wish":              {wishes: "!tea", want: "!tea is not a package"},
		"not a version":           {wishes: "tea=x", want: "not of the form NAME"},
		"cut":                     {wishes: "tea", cuts: []resolve.Cut{{"tea", "sugar"}, {"tea", "zzz"}, {"soup", "salt"}}, want: "leaves 1.5, water 2, tea 2 without [{tea sugar}]"},
		"cut what is not there":   {wishes: "hole", cuts: []resolve.Cut{{"pit", "nothing"}}, want: "pit 1, hole 1 without [{pit nothing}]"},
	} {
		t.Run(name, func(t *testing.T) {
			answer, err := pool.Resolve(resolve.Request{Packages: strings.Fields(test.wishes), Exclude: strings.Fields(test.exclude), Cuts: test.cuts})
			if err != nil {
				if errs.KindOf(err) != errs.Invalid || !strings.Contains(err.Error(), test.want) {
					t.Errorf("%v; want %s", err, test.want)
				}
				return
			}
			got := strings.Join(listed(answer), ", ")
			if answer.Cuts != nil {
				got += fmt.Sprint(" without ", answer.Cuts)
			}
			if got != test.want {
				t.Errorf("%s; want %s", got, test.want)
			}
		})
	}
}

// TestTheOrderOfIndexesMeansNothing: what is chosen does not depend on where the packages stand in an index.
func TestTheOrderOfIndexesMeansNothing(t *testing.T) {
	lines := strings.Split(strings.TrimSpace(someIndex), "\n")
	for i, j := 0, len(lines)-1; i < j; i, j = i+1, j-1 {
		lines[i], lines[j] = lines[j], lines[i]
	}
	there, back := small(t, someIndex), small(t, strings.Join(lines, "\n"))
	for _, w := range []string{"tea doc", "tea milk", "reader service", "choose either"} {
		a, err := there.Resolve(resolve.Request{Packages: strings.Fields(w)})
		b, err2 := back.Resolve(resolve.Request{Packages: strings.Fields(w)})
		if err != nil || err2 != nil {
			t.Fatal(w, err, err2)
		}
		if x, y := fmt.Sprint(listed(a)), fmt.Sprint(listed(b)); x != y {
			t.Errorf("%s: %s, and backwards %s", w, x, y)
		}
	}
}

// TestThereIsAnEnd has more pigeons than holes: it takes too long to find out that they do not fit.
func TestThereIsAnEnd(t *testing.T) {
	const pigeons, holes = 8, 7
	var text, needs strings.Builder
	for p := range pigeons {
		fmt.Fprintf(&needs, " p%d", p)
		for h := range holes {
			fmt.Fprintf(&text, "p%dh%d 1; p:p%d=%d hole%d=%d\n", p, h, p, h, h, p)
		}
	}
	pool := small(t, "top 1; D:"+needs.String()+"\n"+text.String())
	_, err := pool.Resolve(resolve.Request{Packages: []string{"top"}})
	if err == nil || !strings.Contains(err.Error(), "tries") || !strings.Contains(err.Error(), "both have hole") {
		t.Error(err)
	}
}
