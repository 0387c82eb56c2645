# What the first process of a host does; $1 has the packages, unpacked, and $2 is the test's folder.
# A script of sh, since each line is a command that a person would give.
set -eu
mount --make-rprivate /
mount -t proc proc /proc
mkdir -p "$2/disk" "$2/etc"
mount -t tmpfs -o mode=755 tmpfs "$2/disk"
mkdir "$2/disk/usr" "$2/disk/usrwork" "$2/disk/etc" "$2/disk/etcwork" "$2/disk/var"
mount -t overlay -o "lowerdir=$1/usr:/usr,upperdir=$2/disk/usr,workdir=$2/disk/usrwork" overlay /usr
mount -t overlay -o "lowerdir=$2/etc:$1/etc:/etc,upperdir=$2/disk/etc,workdir=$2/disk/etcwork" overlay /etc
mount --bind "$2/disk/var" /var/lib
mount -t tmpfs -o mode=755 tmpfs /run
mkdir /run/home /run/tmp
# The program of the package, whatever else was installed by hand.
dockerd --data-root /var/lib/docker --exec-root /run/docker -p /run/docker.pid -H unix:///run/docker.sock --storage-driver vfs \
	--bridge=none --iptables=false --ip6tables=false --ip-forward=false --ip-masq=false --userland-proxy=false >"$2/dockerd.log" 2>&1 &
# The socket is there before the daemon answers: the first request waits in its queue.
while ! [ -S /run/docker.sock ]; do
	kill -0 $! 2>/dev/null || exit 1
	sleep 0.02
done
curl -sf --unix-socket /run/docker.sock http://docker/_ping >/dev/null
echo ready
cat >/dev/null # until the test ends
