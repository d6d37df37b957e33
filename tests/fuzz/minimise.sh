#!/usr/bin/env bash
# Puts into corpus/ the few inputs among found/ and corpus/ that reach the most code between them. Run it after
# `make fuzz`; what is named regression-… stays whatever it reaches.
set -euo pipefail
cd "$(dirname "$0")"
MOST=60

for target in fuzz_targets/*.rs; do
  name=$(basename "$target" .rs)
  mkdir -p "found/$name" "corpus/$name"
  kept=$(mktemp -d)
  # As `make fuzz` has it.
  case $name in decoder | oracle) length=6000 ;; *) length=512 ;; esac
  # Greedy: the first that is written reaches the most, each next one adds the most to those before it.
  cargo +nightly fuzz run --fuzz-dir . -s none "$name" "$kept" "found/$name" "corpus/$name" -- \
    -set_cover_merge=1 -use_counters=0 -max_len=$length 2>"$kept.log" || { tail -20 "$kept.log" >&2; exit 1; }
  find "corpus/$name" -type f ! -name 'regression-*' -delete
  find "$kept" -type f -printf '%T@ %p\n' | sort -n | head -n "$MOST" | cut -d ' ' -f 2- | xargs -I{} cp {} "corpus/$name/"
  echo "$name: $(find "corpus/$name" -type f | wc -l) of $(find "$kept" -type f | wc -l)"
  rm -r "$kept" "$kept.log"
done
