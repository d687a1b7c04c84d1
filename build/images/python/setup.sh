#!/bin/sh
# `python` as well as `python3`.
set -eu
root=$1
ln -sf python3 "$root/usr/bin/python"
# Debian marks its Python as its own, which stops pip from installing into the
# image. In an image of one program that protects nothing.
rm -f "$root"/usr/lib/python3*/EXTERNALLY-MANAGED
# No program of the image may raise its rights (`su` and `unix_chkpwd` of Debian).
find "$root" -xdev -type f -perm /6000 -exec chmod ug-s {} +
# What runs one program installs nothing. The list of packages stays for whoever
# scans the image.
rm -f "$root"/usr/bin/dpkg* "$root"/usr/sbin/dpkg-*
