#!/usr/bin/env bash
# Copies folders or files to a node's own disk, for slurm/launch.sh; one copier a node at a time.
#   slurm/stage.sh TARGET SOURCE...      /data/shards -> TARGET/shards
# A file is there whole or not at all: it is copied under another name, its size compared, then renamed. What lies there
# with the source's size and time is left alone; all else, an older or newer file too, is copied again.
set -euo pipefail
[ $# -ge 2 ] || { sed -n '2,5s/^# \{0,1\}//p' "$0" >&2; exit 2; }
target=$1
shift
mkdir -p "$target"
exec 9>"$target/.lock"
flock 9

stamp() { stat --dereference --format='%s %Y' "$1" 2>/dev/null; }

copy_file() {  # SOURCE COPY
  local wanted
  wanted=$(stamp "$1") || { echo "$1: cannot be read" >&2; return 3; }
  [ "$(stamp "$2")" != "$wanted" ] || return 0
  mkdir -p "$(dirname "$2")"
  cp --preserve=timestamps -- "$1" "$2.part"
  [ "$(stamp "$2.part")" = "$wanted" ] || { echo "$1: changed while it was copied, or $target is full" >&2; return 5; }
  mv -- "$2.part" "$2"
}

for source in "$@"; do
  source=${source%/}
  [ -e "$source" ] || { echo "$source: no such file or folder" >&2; exit 3; }
  find -L "$source" -type f -print0 | while IFS= read -r -d '' file; do
    copy_file "$file" "$target/$(basename "$source")${file#"$source"}"
  done
done
