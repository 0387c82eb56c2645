# Debian packages, checked by apt against the signed index, unpacked into one archive that is the same every time.
set -eu
apt-get -q -o Acquire::Languages=none update
mkdir debs out
(cd debs && apt-get -q download media-types netbase tzdata)
for deb in debs/*.deb; do dpkg-deb -x "$deb" root; done
tar --sort=name --format=gnu --owner=0 --group=0 --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" -cf out/data.tar -C root .
