package registry_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"overland/internal/auth"
	"overland/internal/digest"
	domain "overland/internal/registry"
)

// Who may do what, over HTTP: a status for each of them.
func TestWhoMay(t *testing.T) {
	b := newBench(t, domain.Options{Delete: true})
	ann := "ann:" + b.account(t, "ann", auth.Grant{Action: auth.Push, Pattern: "public/*"}, auth.Grant{Action: auth.Push, Pattern: "own/**"})
	bob := "bob:" + b.account(t, "bob", auth.Grant{Action: auth.Pull, Pattern: "own/a"})
	public, own := b.push(t, ann, "public/a", "x"), b.push(t, ann, "own/a", "y")
	for _, c := range []struct {
		method, path, login string
		want                int
	}{
		{"GET", "/v2/", "", 401}, // or docker would never send its login
		{"GET", "/v2/", ann, 200},
		{"GET", "/v2/", "ann:wrong", 401},
		{"GET", "/v2/", "bob:" + strings.TrimPrefix(ann, "ann:"), 401},
		{"GET", "/v2/public/a/blobs/" + public, "", 200},
		{"GET", "/v2/public/a/blobs/" + public, "ann:wrong", 401}, // not nobody's
		{"GET", "/v2/public/a/blobs/" + own, "", 404},             // another repository has it
		{"GET", "/v2/own/a/blobs/" + own, "", 401},
		{"GET", "/v2/own/a/blobs/" + own, bob, 200},
		{"GET", "/v2/own/b/blobs/" + own, bob, 403},
		{"POST", "/v2/own/a/blobs/uploads/", bob, 403},
		{"POST", "/v2/public/a/blobs/uploads/", "", 401},
		{"POST", "/v2/public/a/b/blobs/uploads/", ann, 403}, // * is one part
		{"POST", "/v2/public/a/blobs/uploads/?mount=" + own + "&from=own/a", ann, 201},
		{"POST", "/v2/public/b/blobs/uploads/?mount=" + own, ann, 201},
		{"DELETE", "/v2/own/a/blobs/" + own, ann, 403}, // pushing is not deleting
		{"GET", "/v2/UP/blobs/" + own, ann, 400},
		{"GET", "/v2/../own/a/blobs/" + own, ann, 400},
		{"GET", "/v2/own/a/other/" + own, ann, 404},
	} {
		if got := b.do(t, c.method, c.path, c.login, ""); got.status != c.want {
			t.Errorf("%s %s as %.4q: %d, want %d: %s", c.method, c.path, c.login, got.status, c.want, got.body)
		}
	}
}

// What an account may not pull, it cannot mount either.
func TestMountTakesNothingUnseen(t *testing.T) {
	b := newBench(t, domain.Options{})
	ann := "ann:" + b.account(t, "ann", auth.Grant{Action: auth.Push, Pattern: "own/**"})
	eve := "eve:" + b.account(t, "eve", auth.Grant{Action: auth.Push, Pattern: "eve/**"})
	d := b.push(t, ann, "own/a", "secret")
	for _, from := range []string{"", "&from=own/a"} {
		if got := b.do(t, "POST", "/v2/eve/a/blobs/uploads/?mount="+d+from, eve, ""); got.status != http.StatusAccepted {
			t.Errorf("mount%s: %d, want an upload instead", from, got.status)
		}
	}
	if got := b.do(t, "GET", "/v2/eve/a/blobs/"+d, eve, ""); got.status != http.StatusNotFound {
		t.Errorf("the blob: %d", got.status)
	}
}

// Docker's way: it is asked for a login at /v2/, changes that for a pass, and shows the pass. Without a login
// it gets a pass for nobody.
func TestPasses(t *testing.T) {
	b := newBench(t, domain.Options{})
	token := b.account(t, "ann", auth.Grant{Action: auth.Push, Pattern: "own/**"})
	d := b.push(t, "ann:"+token, "own/a", "x")
	asked := b.do(t, "GET", "/v2/own/a/blobs/"+d, "", "").header.Get("Www-Authenticate")
	want := fmt.Sprintf(`Bearer realm="%s/v2/token",service="overland",scope="repository:own/a:pull"`, b.url)
	if asked != want {
		t.Errorf("it is asked %s\nwant %s", asked, want)
	}
	pass := func(a answer) string {
		t.Helper()
		var got struct{ Token string }
		if err := json.Unmarshal([]byte(a.body), &got); err != nil || a.status != http.StatusOK {
			t.Fatalf("%d %s", a.status, a.body)
		}
		return "Bearer " + got.Token
	}
	mine := pass(b.do(t, "GET", "/v2/token?service=overland&scope=repository:own/a:pull", "ann:"+token, ""))
	form := pass(b.do(t, "POST", "/v2/token", "", "grant_type=password&service=overland&username=ann&password="+token))
	nobodys := pass(b.do(t, "GET", "/v2/token?service=overland", "", ""))
	for text, status := range map[string]int{mine: 200, form: 200, nobodys: 401, "Bearer " + token: 200, mine + "x": 401, "Bearer a.b": 401, "Digest x": 401} {
		if got := b.do(t, "GET", "/v2/own/a/blobs/"+d, "", "", "Authorization", text); got.status != status {
			t.Errorf("%.30s…: %d, want %d", text, got.status, status)
		}
	}
	if got := b.do(t, "GET", "/v2/", "", "", "Authorization", nobodys); got.status != http.StatusOK {
		t.Errorf("with a pass for nobody: %d", got.status)
	}
	if got := b.do(t, "GET", "/v2/token", "ann:wrong", ""); got.status != http.StatusUnauthorized {
		t.Errorf("a wrong login got a pass: %d", got.status)
	}
	if err := b.accounts.Remove(t.Context(), "ann"); err != nil {
		t.Fatal(err)
	}
	if got := b.do(t, "GET", "/v2/own/a/blobs/"+d, "", "", "Authorization", mine); got.status != http.StatusUnauthorized {
		t.Errorf("the pass of an account that is gone: %d", got.status)
	}
}

// A tag that must not move does not, by any way; another one does.
func TestFixedTags(t *testing.T) {
	b := newBench(t, domain.Options{Delete: true, Fixed: []string{"live/*"}})
	ann := "ann:" + b.account(t, "ann", auth.Grant{Action: auth.Push, Pattern: "**"}, auth.Grant{Action: auth.Delete, Pattern: "**"})
	var manifests []string
	for _, name := range []string{"live/app", "staging/app"} {
		b.push(t, ann, name, "{}")
		for i, text := range []string{"one", "two"} {
			m := manifest(b.push(t, ann, name, text), "")
			manifests = append(manifests, m)
			got := b.do(t, "PUT", "/v2/"+name+"/manifests/r1", ann, m, "Content-Type", manifestType)
			if want := map[bool]int{true: 403, false: 201}[name == "live/app" && i == 1]; got.status != want {
				t.Errorf("%s, push %d: %d, want %d: %s", name, i, got.status, want, got.body)
			}
		}
	}
	one, two := string(digest.Of([]byte(manifests[0]))), string(digest.Of([]byte(manifests[1])))
	for path, want := range map[string]int{"r1": 403, one: 403} {
		if got := b.do(t, "DELETE", "/v2/live/app/manifests/"+path, ann, ""); got.status != want {
			t.Errorf("delete %s: %d, want %d", path, got.status, want)
		}
	}
	if got := b.do(t, "PUT", "/v2/live/app/manifests/"+two+"?tag=r1", ann, manifests[1], "Content-Type", manifestType); got.status != http.StatusForbidden {
		t.Errorf("by a parameter: %d", got.status)
	}
	if got := b.do(t, "GET", "/v2/live/app/manifests/r1", ann, ""); got.body != manifests[0] {
		t.Errorf("r1 is %s", got.body)
	}
}

// A manifest is taken when its repository has what it points to, and that stays while it is there.
func TestAManifestIsWhole(t *testing.T) {
	b := newBench(t, domain.Options{Delete: true})
	ann := "ann:" + b.account(t, "ann", auth.Grant{Action: auth.Push, Pattern: "**"}, auth.Grant{Action: auth.Delete, Pattern: "**"})
	b.push(t, ann, "a", "{}")
	layer := b.push(t, ann, "b", "layer")
	m := manifest(layer, "")
	put := func() answer { return b.do(t, "PUT", "/v2/a/manifests/v1", ann, m, "Content-Type", manifestType) }
	if got := put(); got.status != http.StatusNotFound || !strings.Contains(got.body, "MANIFEST_BLOB_UNKNOWN") {
		t.Errorf("a layer that another repository has: %d %s", got.status, got.body)
	}
	b.push(t, ann, "a", "layer")
	if got := put(); got.status != http.StatusCreated {
		t.Fatalf("%d %s", got.status, got.body)
	}
	if got := b.do(t, "DELETE", "/v2/a/blobs/"+layer, ann, ""); got.status != http.StatusConflict {
		t.Errorf("delete a layer of an image: %d", got.status)
	}
	for _, c := range []struct{ what, mediaType, body string }{
		{"another type", "application/vnd.oci.image.index.v1+json", m},
		{"an index that has layers", "", strings.Replace(m, "image.manifest", "image.index", 1)},
		{"a digest that climbs", manifestType, strings.Replace(m, layer, "sha256:../../../etc/passwd", 1)},
		{"no JSON", manifestType, "x"},
		{"a version that is gone", manifestType, strings.Replace(m, `n":2`, `n":1`, 1)},
	} {
		if got := b.do(t, "PUT", "/v2/a/manifests/v2", ann, c.body, "Content-Type", c.mediaType); got.status != http.StatusBadRequest {
			t.Errorf("%s: %d %s", c.what, got.status, got.body)
		}
	}
	for what, path := range map[string]string{
		"a name that is another's": layer, "a tag with a slash": string(digest.Of([]byte(m))) + "?tag=a%2Fb", "many tags": "v1" + strings.Replace(strings.Repeat("&tag=a", 65), "&", "?", 1),
	} {
		if got := b.do(t, "PUT", "/v2/a/manifests/"+path, ann, m, "Content-Type", manifestType); got.status != http.StatusBadRequest {
			t.Errorf("%s: %d %s", what, got.status, got.body)
		}
	}
	if got := b.do(t, "PUT", "/v2/a/manifests/v2", ann, strings.Repeat(" ", domain.ManifestLimit+1)); got.status != http.StatusRequestEntityTooLarge {
		t.Errorf("a manifest of over 4 MiB: %d", got.status)
	}
	at := string(digest.Of([]byte(m)))
	b.do(t, "PUT", "/v2/a/manifests/v3", ann, m, "Content-Type", manifestType)
	for _, c := range []struct{ remove, left, gone string }{{"v3", "v1", "v3"}, {at, "", "v1"}, {"", "", at}} {
		if c.remove != "" {
			if got := b.do(t, "DELETE", "/v2/a/manifests/"+c.remove, ann, ""); got.status != http.StatusAccepted {
				t.Errorf("delete %s: %d %s", c.remove, got.status, got.body)
			}
		}
		if got := b.do(t, "GET", "/v2/a/manifests/"+c.gone, ann, ""); got.status != http.StatusNotFound {
			t.Errorf("%s after %s was deleted: %d", c.gone, c.remove, got.status)
		}
		if c.left == "" {
			continue
		}
		if got := b.do(t, "GET", "/v2/a/manifests/"+c.left, ann, ""); got.body != m {
			t.Errorf("%s after %s was deleted: %d", c.left, c.remove, got.status)
		}
	}
}

// Lists come in pages that lead to each other, and name nothing that the client may not pull.
func TestPages(t *testing.T) {
	b := newBench(t, domain.Options{})
	ann := "ann:" + b.account(t, "ann", auth.Grant{Action: auth.Push, Pattern: "**"})
	b.push(t, ann, "public/a", "{}")
	b.push(t, ann, "hidden", "{}")
	m := manifest(b.push(t, ann, "public/a", "x"), "")
	for _, tag := range []string{"a", "b", "c"} {
		b.do(t, "PUT", "/v2/public/a/manifests/"+tag, ann, m, "Content-Type", manifestType)
	}
	got := b.do(t, "GET", "/v2/public/a/tags/list?n=2", "", "")
	if want := `{"name":"public/a","tags":["a","b"]}`; got.body != want || got.header.Get("Link") != `</v2/public/a/tags/list?last=b&n=2>; rel="next"` {
		t.Errorf("%s, %s", got.body, got.header.Get("Link"))
	}
	if got := b.do(t, "GET", "/v2/public/a/tags/list?last=b&n=2", "", ""); got.body != `{"name":"public/a","tags":["c"]}` || got.header.Get("Link") != "" {
		t.Errorf("%s, %s", got.body, got.header.Get("Link"))
	}
	if got := b.do(t, "GET", "/v2/_catalog", "", ""); got.body != `{"repositories":["public/a"]}` {
		t.Errorf("everybody sees %s", got.body)
	}
	if got := b.do(t, "GET", "/v2/_catalog?n=1", ann, ""); got.body != `{"repositories":["hidden"]}` || got.header.Get("Link") == "" {
		t.Errorf("ann sees %s, %s", got.body, got.header.Get("Link"))
	}
	if got := b.do(t, "GET", "/v2/public/none/tags/list", "", ""); got.status != http.StatusNotFound || !strings.Contains(got.body, "NAME_UNKNOWN") {
		t.Errorf("a repository that is not there: %d %s", got.status, got.body)
	}
}

// An upload belongs to the account and the repository that it was begun for.
func TestAnUploadHasOneOwner(t *testing.T) {
	b := newBench(t, domain.Options{})
	ann := "ann:" + b.account(t, "ann", auth.Grant{Action: auth.Push, Pattern: "**"})
	eve := "eve:" + b.account(t, "eve", auth.Grant{Action: auth.Push, Pattern: "**"})
	at := b.do(t, "POST", "/v2/a/blobs/uploads/", ann, "").header.Get("Location")
	if got := b.do(t, "PATCH", at, eve, "x"); got.status != http.StatusNotFound {
		t.Errorf("another account: %d", got.status)
	}
	if got := b.do(t, "PATCH", strings.Replace(at, "/a/", "/b/", 1), ann, "x"); got.status != http.StatusNotFound {
		t.Errorf("another repository: %d", got.status)
	}
	if got := b.do(t, "PATCH", at, ann, "x", "Content-Range", "5-5"); got.status != http.StatusRequestedRangeNotSatisfiable || got.header.Get("Range") != "0-0" {
		t.Errorf("bytes that do not follow: %d, %s", got.status, got.header.Get("Range"))
	}
	if got := b.do(t, "PATCH", at, ann, "x"); got.status != http.StatusAccepted {
		t.Errorf("its owner: %d", got.status)
	}
	if got := b.do(t, "PUT", at+"?digest="+string(digest.Of([]byte("x"))), ann, ""); got.status != http.StatusCreated {
		t.Errorf("the end: %d %s", got.status, got.body)
	}
}
