#!/usr/bin/env bash
# `pg_isready` does not ask a server that accepts connections, if the operating system has no name for the user that runs it.
#
# One would guess: pg_isready needs no credentials ("It is not necessary to supply correct user name, password, or database name values to
# obtain the server status", its manual), so it works under any user, as in a container with `runAsUser: 10001`.
# What happens: libpq fills in the user's name before it connects, finds none, and gives up: "no attempt", exit code 3, which the manual
# explains by invalid parameters. With --quiet nothing is printed, so a container that waits for the database waits for ever. Any user name
# in --username or PGUSER helps, also one that the server does not know.
# Versions: PostgreSQL 15.18 (Debian's packages 15.18-0+deb12u1; PostgreSQL 17 does the same). Source: conninfo_add_defaults and
# pg_fe_getusername in libpq. Seen on 2026-11-28.
# What follows for us: the container that waits for the database before an exported migration names a user (xtask/src/export/clean.rs), as does
# the health check of an exported Compose file. Needs root, to become a user without a name.
set -eu
work=$(mktemp -d)
chmod 755 "$work"
cd "$work"
version=15.18-0+deb12u1
apt-get download --quiet postgresql-15=$version postgresql-client-15=$version libpq5=$version > /dev/null 2>&1
for package in *.deb; do dpkg-deb --extract "$package" root; done
bin=$work/root/usr/lib/postgresql/15/bin
export LD_LIBRARY_PATH=$work/root/usr/lib/$(dpkg-architecture -qDEB_HOST_MULTIARCH 2> /dev/null || echo "$(uname -m)-linux-gnu")
export PATH=$bin:$PATH
as() { setpriv --reuid="$1" --regid="$1" --clear-groups "${@:2}"; }
mkdir data && chown nobody data
owner=$(id -u nobody)
trap 'as "$owner" pg_ctl --pgdata=data --mode=immediate stop > /dev/null 2>&1 || true; rm -rf "$work"' EXIT
pg_isready --version
pg_isready --version | grep -qF '15.18'
as "$owner" initdb --pgdata=data --username=postgres --auth=trust -L "$work/root/usr/share/postgresql/15" > /dev/null
as "$owner" pg_ctl --pgdata=data --wait --log=data/log \
    --options="-c listen_addresses=127.0.0.1 -p 54399 -c unix_socket_directories=$work/data -c timezone_abbreviations=Default" start > /dev/null
unnamed=54321
! getent passwd "$unnamed"
ask() {
    code=0
    said=$(as "$1" pg_isready --host=127.0.0.1 --port=54399 "${@:2}") || code=$?
    echo "user $1 ${*:2}: $said, exit code $code"
}
ask "$owner"
[ "$code" = 0 ]
ask "$unnamed"
[ "$code" = 3 ] && [ "$said" = '127.0.0.1:54399 - no attempt' ]
ask "$unnamed" --username=nobody-there
[ "$code" = 0 ]
