#!/bin/sh
# SPDX-License-Identifier: MIT
# with_veth.sh COMMAND [ARGUMENT...]
#
# Runs COMMAND with two network namespaces that a veth pair joins, and removes them on every way
# out. A namespace is entered through its file: setns(open("/run/netns/NAME")). Exits 77, ctest's
# skip, where namespaces are not permitted.
#   ZCPOOL_TEST_NETNS_A, _B   names of the namespaces
#   ZCPOOL_TEST_ADDR_A, _B    the address of each
set -eu

# Names carry the process id, so that several runs (presets, clones) do not meet.
a=zcpool-a-$$
b=zcpool-b-$$

child=
# shellcheck disable=SC2317 # called by the trap
remove() {
  if [ -n "$child" ]; then
    kill "$child" 2>/dev/null || :
    wait "$child" 2>/dev/null || :
  fi
  ip netns delete "$a" 2>/dev/null || :
  ip netns delete "$b" 2>/dev/null || :
}
trap remove EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

skip() {
  echo "skipped: $1" >&2
  exit 77
}

command -v ip >/dev/null || skip "ip (iproute2) is not installed"
# No trap survives SIGKILL, which is how ctest ends a test that takes too long: what a dead run left
# goes now.
for left in /run/netns/zcpool-[ab]-*; do
  [ -e "$left" ] && ! kill -0 "${left##*-}" 2>/dev/null && ip netns delete "${left##*/}"
done
why=$(ip netns add "$a" 2>&1) || skip "no network namespaces here: $why"
why=$(ip netns add "$b" 2>&1) || skip "no network namespaces here: $why"
# Both ends are born inside their namespaces: the names cannot collide with anything outside.
why=$(ip -n "$a" link add veth0 type veth peer name veth0 netns "$b" 2>&1) ||
  skip "no veth here: $why"
ip -n "$a" address add 10.97.0.1/30 dev veth0
ip -n "$b" address add 10.97.0.2/30 dev veth0
for namespace in "$a" "$b"; do
  ip -n "$namespace" link set lo up
  ip -n "$namespace" link set veth0 up
done

ZCPOOL_TEST_NETNS_A=$a ZCPOOL_TEST_NETNS_B=$b
ZCPOOL_TEST_ADDR_A=10.97.0.1 ZCPOOL_TEST_ADDR_B=10.97.0.2
export ZCPOOL_TEST_NETNS_A ZCPOOL_TEST_NETNS_B ZCPOOL_TEST_ADDR_A ZCPOOL_TEST_ADDR_B

# In the background and waited for: a trap of this shell runs at once then, not after COMMAND.
"$@" &
child=$!
status=0
wait "$child" || status=$?
child=
exit "$status"
