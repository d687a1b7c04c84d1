#!/bin/sh
# CloudNativePG runs PostgreSQL as user and group 26; Debian gives its own number,
# and group 26 to tape drives.
set -eu
root=$1
sed -i '/^tape:/d' "$root/etc/group"
sed -i 's/^postgres:x:[0-9]*:/postgres:x:26:/' "$root/etc/group"
sed -i 's/^postgres:x:[0-9]*:[0-9]*:/postgres:x:26:26:/' "$root/etc/passwd"
# The package makes a database of its own, which nothing uses.
rm -rf "$root/var/lib/postgresql" "$root/etc/postgresql" "$root/run/postgresql"
mkdir -p "$root/var/lib/postgresql/data" "$root/run/postgresql"
chown -R 26:26 "$root/var/lib/postgresql" "$root/run/postgresql"
# No program of the image may raise its rights (`su` and `unix_chkpwd` of Debian).
find "$root" -xdev -type f -perm /6000 -exec chmod ug-s {} +
