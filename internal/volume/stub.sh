#!/bin/sh
# overland volume 3
trap 'echo "overland: this file is cut short. Get it again" >&2; exit 4' EXIT
# One file that is a program, an archive and an OCI image layout.
#   sh FILE help     what it can do
#   unzip -l FILE    what is inside
# What follows this program is binary. It is read whole, then run: a cut file does nothing.
{
trap - EXIT
T='
@TABLE@'

say() { echo "overland: $*" >&2; }

die() {
	code=$1
	shift
	say "$@"
	exit "$code"
}

# tool NAME ARGS: the machine's own, or busybox's. There may be no /dev/null: what must be silent gets no stderr.
# A busybox shell says that it has tail, and without /proc cannot run it: so tail is tried.
tool() {
	if [ -n "$own" ] && [ -n "$(command -v "$1")" ]; then "$@"; else busybox "$@"; fi
}
own=$(echo 1 | tail -c 2 2>&-)

usage() {
	echo "usage: sh ${0##*/} VERB [ARGUMENTS]

  install   install what is in this volume, or update to it
              --root FINGERPRINT   whom to trust, on the first install
              --channel NAME       what to follow from then on
  verify    check every byte of this volume
  list      list what is in it
  inspect   show its releases, platforms and signers
  extract   unpack it into a folder
  status    show what runs on this machine
  version   show what this file is

exit codes: 0 ok, 1 failed, 2 usage, 3 partial, 4 untrusted, 5 unreachable, 130 cancelled"
}

# find PLATFORM: sets first, size and sum of its agent, how much room it needs, and where it is compressed the
# end that gzip wants.
find() {
	want=$1
	set -- $T
	while [ $# -ge 6 ]; do
		if [ "$1" = "$want" ]; then
			first=$2 size=$3 sum=$4 room=$5 end=$6
			return 0
		fi
		shift 6
	done
	return 1
}

# from N: the volume from its Nth byte on.
from() {
	case $file in
	*.001) tool cat "${file%.001}".[0-9][0-9][0-9] | tool tail -c "+$1" ;;
	*) tool tail -c "+$1" "$file" ;;
	esac
}

# unpack: the agent that find has found.
unpack() {
	if [ "$end" = - ]; then
		from "$first" 2>&- | tool head -c "$size"
	else
		{
			printf '\037\213\010\000\000\000\000\000\000\377'
			from "$first" 2>&- | tool head -c "$size"
			printf "$end"
		} | tool gzip -dc | tool cat
	fi
}

clean() {
	if [ -n "$dir" ]; then tool rm -rf "$dir"; fi
	dir=
}

file=$0
case $file in
*/*) ;;
*) file=./$file ;;
esac
magic=
if [ -f "$file" ]; then
	{ read -r magic && read -r magic; } <"$file"
fi
if [ "$magic" != "# overland volume 3" ]; then
	die 2 "this program reads its own file and cannot come through a pipe. Save it first, then: sh FILE install"
fi

verb=${1:-help}
if [ $# -gt 0 ]; then shift; fi
case $verb in
install | verify | list | inspect | extract | status) ;;
help | -h | --help)
	usage
	exit 0
	;;
version | -V | --version)
	echo "overland volume 3"
	set -- $T
	while [ $# -ge 6 ]; do
		echo "agent for $1, sha256:$4"
		shift 6
	done
	exit 0
	;;
*)
	usage >&2
	die 2 "there is no verb $verb"
	;;
esac

# An agent that is installed is trusted already; the one in this file is only as good as this file.
agent=${OVERLAND_AGENT-/usr/local/bin/overland-agent}
if [ -n "$agent" ] && [ -f "$agent" ] && [ -x "$agent" ]; then
	exec "$agent" "$verb" --volume "$file" "$@"
fi
if [ -n "${OVERLAND_AGENT-}" ]; then
	die 2 "OVERLAND_AGENT=$OVERLAND_AGENT is not a program"
fi

machine=${OVERLAND_PLATFORM-}
if [ -z "$machine" ]; then
	machine=$(tool uname -s)/$(tool uname -m)
fi
case $machine in
linux/arm/v7 | Linux/armv7* | Linux/armv8l) platforms='linux/arm/v7 linux/arm/v6 linux/arm/v5' ;;
linux/arm/v6 | Linux/armv6*) platforms='linux/arm/v6 linux/arm/v5' ;;
linux/arm/v5 | Linux/armv5*) platforms=linux/arm/v5 ;;
Linux/x86_64 | Linux/amd64) platforms=linux/amd64 ;;
Linux/aarch64* | Linux/arm64) platforms=linux/arm64 ;;
*) platforms=$machine ;;
esac
sum=
for p in $platforms; do
	if find "$p"; then break; fi
done
if [ -z "$sum" ]; then
	die 1 "this volume holds no agent for $machine. Seal one with --platform ${platforms%% *}"
fi

if [ "$end" != - ] && [ -z "$(printf x | tool gzip -c 2>&- | tool head -c 1)" ]; then
	die 1 "this file is compressed, and this machine has no gzip. Get one that was sealed without --compress"
fi

umask 077
dir=
trap clean EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
problem=none
for place in "${TMPDIR-}" /tmp /var/tmp /dev/shm /run /var/lib "${HOME-}" "${file%/*}"; do
	if [ -z "$place" ] || [ ! -d "$place" ] || [ ! -w "$place" ]; then continue; fi
	tool mkdir "$place/overland-$$" 2>&- || continue
	dir=$place/overland-$$
	program=$dir/overland-agent
	if ! unpack >"$program" 2>&-; then
		clean
		continue
	fi
	got=$(tool sha256sum "$program")
	if [ "${got%% *}" != "$sum" ]; then
		problem=sum
		clean
		continue
	fi
	tool chmod 700 "$program"
	case " $* " in
	*" --foreground "*)
		# The agent stays, maybe as process 1, so it must get the signals; it removes the folder itself.
		if "$program" version >&- 2>&-; then
			trap - EXIT HUP INT TERM
			OVERLAND_UNPACKED=$dir exec "$program" "$verb" --volume "$file" "$@"
		fi
		;;
	esac
	"$program" "$verb" --volume "$file" "$@"
	code=$?
	if [ "$code" -ne 126 ]; then exit "$code"; fi
	say "programs cannot run in $place, looking for another folder"
	clean
done
if [ "$problem" = sum ]; then
	die 4 "the agent in $file is not the one that this volume was sealed with: the file is cut short, damaged or forged (or sha256sum is missing). Get it again"
fi
die 1 "no folder to unpack the agent to: set TMPDIR to one that is writable, has $((room / 1048576 + 1)) MiB free and is not mounted noexec"
}
