#!/bin/sh
# Instructions for one read of 64 KiB, counted by valgrind: the same on a busy machine as on an idle one.
# usage: instructions.sh BINARY, where BINARY is the built bench `targets`
set -eu
command -v valgrind >/dev/null || { echo "instructions are not counted: valgrind is missing (apt-get install valgrind)"; exit 0; }
test $# = 1 && test -x "$1" || { echo "usage: $0 BINARY (what 'cargo bench -p chanwire-tests --bench targets --no-run' names)" >&2; exit 2; }

# What starts and ends the program is in both counts, and in neither difference.
count() {
	valgrind --tool=callgrind --callgrind-out-file=/dev/null "$1" "$2" "$3" 2>&1 | awk '/Collected/ { print $4 }'
}

# Of one piece of work.
each() {
	few=$(count "$1" "$2" 2)
	many=$(count "$1" "$2" 12)
	echo $(((many - few) / 10))
}

printf '%-34s %14s %14s %8s\n' 'instructions a read of 64 KiB' 'this crate' 'compared' 'ratio'
# Both sides for each shape. The ratio is the other side's by ours where it is to be great, ours by the other's where
# it is to be small.
compare() {
	shape=0
	for name in '57 B message' '4 KiB plain text' '4 KiB escapes' '4 KiB small members'; do
		ours=$(each "$1" "$2:$shape")
		theirs=$(each "$1" "serde-$2:$shape")
		awk -v what="$3, $name" -v ours="$ours" -v theirs="$theirs" -v up="$4" 'BEGIN {
			printf "%-34s %14d %14d %8.2f\n", what, ours, theirs, up ? theirs / ours : ours / theirs
		}'
		shape=$((shape + 1))
	done
}

compare "$1" ends 'frame ends' 1
compare "$1" decode decode 0
for work in server hub; do
	printf '%-34s %14d\n' "$work, 57 B message" "$(each "$1" "$work:0")"
done
