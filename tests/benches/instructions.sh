#!/bin/sh
# Instructions for one read of 64 KiB, counted by valgrind: the same on a busy machine as on an idle one.
# usage: instructions.sh BINARY, where BINARY is the built bench `targets`
set -eu
command -v valgrind >/dev/null || { echo "valgrind is missing: run 'apt-get install valgrind' as root, then this again" >&2; exit 1; }
test $# = 1 && test -x "$1" || { echo "usage: $0 BINARY (what 'cargo bench -p chanwire-tests --bench targets --no-run' names)" >&2; exit 2; }

# What starts and ends the program is in both counts, and in neither difference.
count() {
	valgrind --tool=callgrind --callgrind-out-file=/dev/null "$1" "$2" "$3" 2>&1 | awk '/Collected/ { print $4 }'
}

for work in ends:0 serde-ends:0 ends:1 serde-ends:1 ends:2 serde-ends:2 ends:3 serde-ends:3 \
	decode:0 serde-decode:0 decode:1 serde-decode:1 decode:2 serde-decode:2 decode:3 serde-decode:3 server:0 hub:0; do
	few=$(count "$1" "$work" 5)
	many=$(count "$1" "$work" 25)
	awk -v work="$work" -v few="$few" -v many="$many" 'BEGIN { printf "%-16s %12.0f instructions a read of 64 KiB\n", work, (many - few) / 20 }'
done
