#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs a command of dev.sh in a Debian of its own: build/chroot/SUITE, made by debootstrap once and
# kept. It sees the project as it is here, and builds in a folder of its own; what it writes in
# other places is gone afterwards. As root, in a mount namespace, so that nothing stays mounted.
#
# usage: chroot.sh SUITE COMMAND [ARGUMENT...]
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
suite=${1:?"chroot.sh: which Debian? trixie, say"}
shift
[ $# -gt 0 ] || {
  echo "chroot.sh: which command of dev.sh? test, say" >&2
  exit 2
}

debian=$root/build/chroot/$suite
if [ ! -e "$debian/complete" ]; then
  rm -rf "$debian"
  mkdir -p "$debian"
  debootstrap --variant=minbase "$suite" "$debian"
  mkdir -p "$debian/zcpool" "$debian/build"
  touch "$debian/complete"
fi
mkdir -p "$root/build"

# shellcheck disable=SC2016 # of the inner shell
exec unshare --mount --propagation private sh -c '
  set -eu
  root=$1 debian=$2
  shift 2
  # Its root is a mount of its own: what makes namespaces there asks for that.
  mount --rbind "$debian" "$debian"
  mount -t proc proc "$debian/proc"
  mount --rbind /sys "$debian/sys"
  mount --rbind /dev "$debian/dev"
  mount -t tmpfs tmpfs "$debian/run"
  mount -t tmpfs -o mode=1777 tmpfs "$debian/tmp"
  mkdir "$debian/run/new" "$debian/run/work"
  mount -t overlay -o "lowerdir=$root,upperdir=$debian/run/new,workdir=$debian/run/work" overlay \
    "$debian/zcpool"
  mount --bind "$debian/build" "$debian/zcpool/build"
  cp -L /etc/resolv.conf /etc/hosts "$debian/etc"
  # Whom this machine trusts; pip brings a list of its own otherwise.
  trusted=/etc/ssl/certs/ca-certificates.crt
  if [ -e $trusted ]; then
    install -D -m 644 $trusted "$debian$trusted"
  else
    trusted=
  fi
  exec chroot "$debian" env -i HOME=/root PATH="/usr/sbin:/usr/bin:/sbin:/bin" LANG=C.UTF-8 \
    ${https_proxy:+https_proxy=$https_proxy} ${PIP_INDEX_URL:+PIP_INDEX_URL=$PIP_INDEX_URL} \
    ${trusted:+PIP_CERT=$trusted} \
    sh /zcpool/cmake/dev.sh "$@"
' sh "$root" "$debian" "$@"
