package packages_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// dpkg runs as it is, on this machine's own Debian: below a mount namespace that keeps what it changes to itself,
// with a database of its own, for reading that of a whole machine takes seconds.
func TestDpkgInstallsIt(t *testing.T) {
	b := newBench(t, files)
	out := t.TempDir()
	first := b.file(whole, out)
	b.commit(map[string]string{"deploy/wallet.conf": "port=2\n"})
	second := b.file(whole, out)
	script := `
mount -t tmpfs changes "$0"
mkdir "$0/upper" "$0/work" "$0/root"
mount -t overlay root -o "lowerdir=/,upperdir=$0/upper,workdir=$0/work" "$0/root"
mount --bind /dev "$0/root/dev"
mount -t tmpfs database "$0/root/var/lib/dpkg"
mkdir "$0/root/var/lib/dpkg/info" "$0/root/var/lib/dpkg/updates" "$0/root/var/lib/dpkg/triggers"
touch "$0/root/var/lib/dpkg/status" "$0/root/var/lib/dpkg/available"
mount --bind "$1" "$0/root/mnt"
shift
exec chroot "$0/root" sh -ec "$script" sh "$@"`
	cmd := exec.CommandContext(t.Context(), "unshare", "--mount", "sh", "-ec", script, t.TempDir(), out, filepath.Base(first), filepath.Base(second))
	cmd.Env = append(os.Environ(), "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "script="+`
dpkg="dpkg --force-confold --force-unsafe-io --force-depends"
wants=/etc/systemd/system/multi-user.target.wants/wallet.service
say() { echo "== $*"; }
$dpkg -i "/mnt/$1" >/dev/null 2>&1
say installed "$(wallet | cut -d' ' -f1)" "$(stat -c '%A %U:%G' /etc/wallet/wallet.conf /var/lib/wallet | tr '\n' ' ')" "$(getent passwd wallet | cut -d: -f6)" "$(readlink $wants)"
dpkg --verify wallet
echo mine > /etc/wallet/wallet.conf
echo coins > /var/lib/wallet/coins
systemctl disable wallet.service >/dev/null 2>&1
dpkg-statoverride --update --add root root 0700 /var/lib/wallet
$dpkg -i "/mnt/$2" >/dev/null 2>&1
say upgraded "$(cat /etc/wallet/wallet.conf)" "$(cat /etc/wallet/wallet.conf.dpkg-dist)" "$(stat -c '%A %U:%G' /etc/wallet/wallet.conf /var/lib/wallet | tr '\n' ' ')" "$(dpkg-query -W -f '${Version}' wallet | cut -d. -f1)" "$(ls $wants 2>&1 | grep -c 'No such')"
$dpkg -i "/mnt/$1" >/dev/null 2>&1
say downgraded "$(cat /etc/wallet/wallet.conf)" "$(dpkg-query -W -f '${Version}' wallet | cut -d. -f1)"
systemctl enable wallet.service >/dev/null 2>&1
dpkg -r wallet >/dev/null 2>&1
say removed "$(ls /usr/bin/wallet /usr/lib/systemd/system/wallet.service 2>/dev/null)" "$(cat /etc/wallet/wallet.conf)"
dpkg -P wallet >/dev/null 2>&1
say purged "$(ls /etc/wallet $wants /usr/share/doc/wallet /var/lib/systemd/deb-systemd-helper-enabled/wallet* 2>/dev/null)" "$(cat /var/lib/wallet/coins)"
dpkg -l wallet 2>&1 | tail -1
`)
	got, err := cmd.CombinedOutput()
	want := `== installed linux/amd64 -rw-r----- root:wallet drwxr-x--- wallet:wallet  /var/lib/wallet /lib/systemd/system/wallet.service
== upgraded mine port=2 -rw-r----- root:wallet drwx------ root:root  0+r2 1
== downgraded mine 0+r1
== removed  mine
== purged  coins
dpkg-query: no packages found matching wallet
`
	if err != nil || string(got) != want {
		t.Errorf("%v\n%s\nwant\n%s", err, got, want)
	}
}
