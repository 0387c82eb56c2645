package netcache

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"overland/internal/errs"
)

// Every option, as the SlapOS document writes them.
const section = `
[slapos]
software_root = /opt/slapgrid
[networkcache]
# Define options for binary cache, used to download already compiled software.
download-binary-cache-url = http://cache.example/shacache
download-binary-dir-url = http://cache.example/shadir
download-cache-url = http://cache.example/shacache?x=1
upload-cache-url = https://up.example/shacache
upload-dir-url = https://up.example/shadir
upload-binary-cache-url = https://up.example/shacache
upload-binary-dir-url = https://up.example/shadir
signature-private-key-file = /etc/slapos/signature.key
signature-certificate-file = /etc/slapos/signature.cert
shacache-ca-file = /etc/slapos/ca
shacache-cert-file = /etc/slapos/shacache.cert
shacache-key-file = /etc/slapos/shacache.key
shadir-ca-file = /etc/slapos/ca2
shadir-cert-file = /etc/slapos/shadir.cert
shadir-key-file = /etc/slapos/shadir.key
binary-cache-url-blacklist =
  http://git.example/dev
  /
upload-to-binary-cache-url-blacklist =
  http://git.example/dev
; comment
download-from-binary-cache-force-url-list = http://git.example/stable
surprise = 1

# Trusted people
signature-certificate-list =
  -----BEGIN CERTIFICATE-----
  MIIB8DCCAVmgAwIBAgIA!!

  -----END CERTIFICATE-----
`

func TestConfig(t *testing.T) {
	good, err := os.ReadFile(filepath.Join("testdata", "expired.pem"))
	if err != nil {
		t.Fatal(err)
	}
	c, err := ParseConfig(strings.NewReader(section + "  " + strings.ReplaceAll(string(good), "\n", "\n  ") + "\n[other]\nx\n"))
	if err != nil {
		t.Fatal(err)
	}
	keys, warnings, err := ParseCertificates(c.SignatureCertificateList)
	if err != nil || len(keys) != 1 || len(warnings) != 1 {
		t.Errorf("%v %v %v", keys, warnings, err)
	}
	c.SignatureCertificateList = ""
	want := Config{
		DownloadCacheURL: "http://cache.example/shacache", DownloadDirURL: "http://cache.example/shadir",
		UploadCacheURL: "https://up.example/shacache", UploadDirURL: "https://up.example/shadir",
		DownloadBinaryCacheURL: "http://cache.example/shacache", DownloadBinaryDirURL: "http://cache.example/shadir",
		UploadBinaryCacheURL: "https://up.example/shacache", UploadBinaryDirURL: "https://up.example/shadir",
		SignaturePrivateKeyFile: "/etc/slapos/signature.key", SignatureCertificateFile: "/etc/slapos/signature.cert",
		Shacache:          TLSFiles{"/etc/slapos/ca", "/etc/slapos/shacache.cert", "/etc/slapos/shacache.key"},
		Shadir:            TLSFiles{"/etc/slapos/ca2", "/etc/slapos/shadir.cert", "/etc/slapos/shadir.key"},
		DownloadBlacklist: Prefixes{"http://git.example/dev", "/"},
		UploadBlacklist:   Prefixes{"http://git.example/dev"},
		ForceList:         Prefixes{"http://git.example/stable"},
		Warnings: []string{
			"binary-cache-url-blacklist is deprecated: download-from-binary-cache-url-blacklist",
			"surprise is not an option of the network cache",
		},
	}
	if diff := cmp.Diff(want, c); diff != "" {
		t.Error(diff)
	}
}

func TestConfigDetails(t *testing.T) {
	c, err := ParseConfig(strings.NewReader("[buildout]\nnetworkcache-section = nc\n[nc]\nDownload-Cache-URL: http://h/shacache/\n" +
		"binary-cache-url-blacklist = a\ndownload-from-binary-cache-url-blacklist = b\ndownload-from-binary-cache-url-blacklist += c\nshadir-ca-file = ${x:y}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if c.DownloadDirURL != "http://h/shadir" || c.DownloadBinaryCacheURL != "http://h/shacache/" {
		t.Errorf("%+v", c)
	}
	if diff := cmp.Diff(Prefixes{"b", "c"}, c.DownloadBlacklist); diff != "" || len(c.Warnings) != 2 {
		t.Errorf("%s %q", diff, c.Warnings)
	}
	if c, err = ParseConfig(strings.NewReader("[buildout]\nextends = stack/slapos.cfg\n[networkcache]\ndownload-cache-url = http://h/\n")); err != nil || len(c.Warnings) != 1 {
		t.Errorf("another profile is not read, and nobody says so: %q, %v", c.Warnings, err)
	}
	if c, err = ParseConfig(strings.NewReader("[networkcache]\n  signature-certificate-list =\n  -----BEGIN CERTIFICATE-----\n")); err != nil || len(c.Warnings) != 1 || !strings.Contains(c.Warnings[0], "line 3") {
		t.Errorf("a line that belongs to no option: %q, %v", c.Warnings, err)
	}
	for name, text := range map[string]string{
		"no section":  "[x]\n",
		"no URL":      "[networkcache]\ndownload-cache-url = ftp://h/x\n",
		"relative":    "[networkcache]\nupload-dir-url = h/x\n",
		"outside":     "a = b\n",
		"open":        "[networkcache\n",
		"private key": "[networkcache]\nsignature-certificate-list =\n -----BEGIN RSA PRIVATE KEY-----\n AAAA\n",
	} {
		if _, err := ParseConfig(strings.NewReader(text)); errs.KindOf(err) != errs.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The section as the SlapOS document prints it, with its indentation, and what it leaves
// out. Only the hosts are others.
func TestTheDocumentsSection(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("testdata", "document.cfg"))
	if err != nil {
		t.Fatal(err)
	}
	printed := string(b)
	flush := strings.ReplaceAll(printed, "\n      ", "\n")
	for name, text := range map[string]string{
		"as printed": printed, "as it was meant": strings.TrimPrefix(flush, "      "), "copied from its first letter on": strings.TrimLeft(printed, " "),
	} {
		c, err := ParseConfig(strings.NewReader(text))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		files := TLSFiles{Cert: "/etc/opt/slapos/ssl/shacache.cert", Key: "/etc/opt/slapos/ssl/shacache.key"}
		list := Prefixes{"http://git.example/gitweb/slapos.git/blob_plain/HEAD", "http://git.example/gitweb/slapos.git/blob_plain/refs/heads"}
		want := Config{
			DownloadCacheURL: "https://cache.example/shacache", DownloadDirURL: "http://cache.example/shadir",
			UploadCacheURL: "https://cache.example/shacache", UploadDirURL: "https://cache.example/shadir",
			DownloadBinaryCacheURL: "https://cache.example/shacache", DownloadBinaryDirURL: "http://cache.example/shadir",
			UploadBinaryCacheURL: "https://cache.example/shacache", UploadBinaryDirURL: "https://cache.example/shadir",
			SignaturePrivateKeyFile: "/etc/opt/slapos/ssl/signature.key", SignatureCertificateFile: "/etc/opt/slapos/ssl/signature.cert",
			Shacache: files, Shadir: files, DownloadBlacklist: list, UploadBlacklist: list,
			Warnings: []string{"binary-cache-url-blacklist is deprecated: download-from-binary-cache-url-blacklist"},
		}
		if diff := cmp.Diff(want, c); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// The certificate that the document prints cannot be read; one beside it can.
func TestTheDocumentsCertificate(t *testing.T) {
	sample, err := os.ReadFile(filepath.Join("testdata", "document.pem.cfg"))
	if err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(filepath.Join("testdata", "expired.pem"))
	if err != nil {
		t.Fatal(err)
	}
	const indent = "          "
	c, err := ParseConfig(strings.NewReader(string(sample) + indent + strings.ReplaceAll(string(good), "\n", "\n"+indent) + "\n"))
	if err != nil {
		t.Fatal(err)
	}
	keys, warnings, err := ParseCertificates(c.SignatureCertificateList)
	if err != nil || len(keys) != 1 || len(warnings) != 1 || len(c.Warnings) != 0 {
		t.Errorf("%v %v %v %v", keys, warnings, c.Warnings, err)
	}
}

func TestPrefixes(t *testing.T) {
	list := Prefixes{"http://Git.example:80/a/../dev", "https://h.example", "/srv"}
	for url, want := range map[string]bool{
		"http://git.example/dev":               true,
		"http://git.example/development/x.cfg": true,
		"HTTP://GIT.example:80//dev/./x":       true,
		"http://u:p@git.example/%64ev/x":       true,
		"http://git.example/x/../dev/y":        true,
		"http://git.example/x/dev":             false,
		"https://git.example/dev":              false,
		"http://git.example:81/dev":            false,
		"https://h.example/":                   true,
		"https://h.example":                    true,
		"https://h.example./x":                 true,
		"https://h.example.evil/":              true, // over-matching, as the Python client does: raw prefix
		"/srv/x.cfg":                           true,
		"file:///srv/x.cfg":                    true,
		"FILE://localhost/opt/../srv/x.cfg":    true,
		"file:///opt/x":                        false,
		"http://git.example:080/dev":           true,
		"http://git.example:/dev":              true,
		"http://git.example/%2564ev":           false, // another name: it is unescaped once
		"/x/../srv/x.cfg":                      true,
		"/opt":                                 false,
		"":                                     false,
	} {
		if _, got := list.Match(url); got != want {
			t.Errorf("%q: %v (normal %q)", url, got, NormalURL(url))
		}
	}
	if p, ok := (Prefixes{""}).Match("http://x/"); ok {
		t.Errorf("the empty prefix %q blocks everything", p)
	}
}

func TestMutable(t *testing.T) {
	for url, want := range map[string]bool{
		"https://h/p/raw/master/software/x/software.cfg":     true,
		"https://h/p/raw/HEAD/x":                             true,
		"https://h/p/archive/main.tar.gz":                    true,
		"https://h/p/archive/refs/heads/feature.zip":         true,
		"https://h/p-latest.tar.gz":                          true,
		"https://h/latest/p.tar.gz":                          true,
		"https://h/p/raw/file?ref=master":                    true,
		"https://h/gitweb?p=x;hb=HEAD":                       true,
		"http://h/gitweb/x.git/blob_plain/HEAD:/x.cfg":       true,
		"https://h/p@latest":                                 true,
		"https://h/gitweb?p=x&hb=HEAD":                       true,
		"https://h/p?branch=feature":                         true,
		"https://h/p-nightly.zip":                            true,
		"https://h/p/raw/1.0.123/software/x/software.cfg":    false,
		"https://h/p/archive/v1.2.3.tar.gz":                  false,
		"https://h/p/archive/refs/tags/v1.tar.gz":            false,
		"https://h/p/raw/" + strings.Repeat("0a", 20) + "/x": false,
		"https://h/gnu/aspell/aspell-0.60.8.tar.gz":          false,
		"https://h/maintenance/headers-1.0.tgz":              false,
	} {
		if reason, got := Mutable(url); got != want {
			t.Errorf("%q: %v %q", url, got, reason)
		}
		if err := CheckFrozen(url); (err != nil) != want || err != nil && errs.KindOf(err) != errs.Denied {
			t.Errorf("%q: %v", url, err)
		}
	}
}

func TestPinned(t *testing.T) {
	for url, want := range map[string]bool{
		"https://h/p/raw/1.0.123/software/x/software.cfg":                true,
		"https://h/p/raw/slapos-1.0/software.cfg":                        true,
		"https://h/p/raw/v2/software.cfg":                                true,
		"https://h/p/archive/refs/tags/stable.zip":                       true,
		"https://h/p/raw/0a1b2c3/software.cfg":                           true,
		"https://h/p?p=x&hb=" + strings.Repeat("0a", 20):                 true,
		"https://h/p.git@" + strings.Repeat("0a", 20):                    true,
		"https://h/p/daily/20260301/x":                                   true,
		"https://h/p/raw/feature/software.cfg":                           false,
		"https://h/p/raw/feature2/software.cfg":                          false,
		"https://h/p/raw/defaced/software.cfg":                           false,
		"https://h/p/software.cfg":                                       false,
		"https://10.0.0.1/p/software.cfg":                                false,
		"https://h/p/raw/master/software-1.0.cfg":                        false,
		"http://h/gitweb/x.git/blob_plain/HEAD:/software/x-1.0/software": false,
	} {
		if err := CheckPinned(url); (err == nil) != want || err != nil && errs.KindOf(err) != errs.Denied {
			t.Errorf("%q: %v", url, err)
		}
	}
}

func TestSourceURL(t *testing.T) {
	for s, want := range map[string]string{
		"git@Host.example:group/app.git":           "ssh://host.example/group/app.git",
		"ssh://git@host.example:22/group/app.git/": "ssh://host.example/group/app.git",
		" HTTPS://u:p@host.example:443/a/../app\n": "https://host.example/app",
		"/srv//git/app": "/srv/git/app",
	} {
		if got := SourceURL(s); got != want {
			t.Errorf("%q: got %q, want %q", s, got, want)
		}
	}
}

func TestFilters(t *testing.T) {
	entry := func(more string) Entry {
		e, err := NewEntry(`{"sha512":"`+someName+`",`+more+`}`, "")
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	list := []Entry{entry(`"n":2,"s":"b"`), entry(`"n":10,"s":"a"`), entry(`"n":2.0,"s":["x",1]`), entry(`"s":"a"`), entry(`"n":"2"`)}
	for text, want := range map[string][]int{
		`n==2`: {0, 2}, `n>2`: {1}, `n>=2`: {0, 1, 2}, `n<10`: {0, 2}, `n<=1`: nil, `n>>`: {1}, `n<<`: {0, 2}, `s=="a"`: {1, 3}, `s==a`: {1, 3},
		`n<<Infinity`: {0, 2}, `n>>-Infinity`: {1}, `n<<10`: {0, 2}, `n<<2`: nil, `n>>2`: {1}, `n>>10`: nil,
		`s==["x",1]`: {2}, `x==1`: nil, `s>>`: {0}, `s<<`: {1, 3}, `n=="2"`: {4},
	} {
		f, err := ParseFilter(text)
		if err != nil {
			t.Fatal(err)
		}
		var got []int
		for _, e := range Apply(list, []Filter{f}) {
			for i := range list {
				if list[i].Metadata == e.Metadata {
					got = append(got, i)
				}
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", text, diff)
		}
	}
	for _, text := range []string{"", "n", "==1", "n=", "n=1"} {
		if f, err := ParseFilter(text); errs.KindOf(err) != errs.Invalid {
			t.Errorf("%q: %+v, %v", text, f, err)
		}
	}
}

// The bytes that Python's json.dumps makes of the same fields.
func TestMetadataIsPythons(t *testing.T) {
	fields, err := ParseMetadata([]byte(`{"url":"http://h/é","os":["debian",null,true],"sha512":"ab","n":1.50,"e":{},"a\"":"\n\u0001\u007f😀<"}`))
	if err != nil {
		t.Fatal(err)
	}
	want := `{"sha512": "ab", "a\"": "\n\u0001` + "\x7f" + `\ud83d\ude00<", "e": {}, "n": 1.50, "os": ["debian", null, true], "url": "http://h/\u00e9"}`
	if got := EncodeMetadata(fields); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func FuzzParseConfig(f *testing.F) {
	f.Add(section)
	f.Add("[buildout]\nnetworkcache-section = x\n[x]\n a\nb+=c\n d\n")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := ParseConfig(strings.NewReader(text))
		if err != nil {
			if errs.KindOf(err) != errs.Invalid {
				t.Error(err)
			}
			return
		}
		for name, value := range c.fields() {
			if strings.HasSuffix(name, "-url") && *value != "" && !strings.HasPrefix(*value, "http") {
				t.Errorf("%s = %q", name, *value)
			}
		}
		_, _ = c.DownloadBlacklist.Match(text)
	})
}

func FuzzURL(f *testing.F) {
	f.Add("HTTP://u:p@H.example:80//a/../%64ev?ref=x#y")
	f.Add("/a//b/..")
	f.Fuzz(func(t *testing.T, s string) {
		n := NormalURL(s)
		if again := NormalURL(n); again != n {
			t.Errorf("%q is normal %q is normal %q", s, n, again)
		}
		_, _ = Mutable(s)
		_ = CheckPinned(s)
		_ = SourceURL(s)
	})
}
