#!/usr/bin/env bash
# make demo: the circle on the shipped sample, then what to do next. Nothing is installed, nothing leaves this machine
# but the download of the base model from your own package index at the first run.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
project=${PROJECT:-$PWD/build/demo}
recipe=${RECIPE:+$(realpath "$RECIPE")}

say() { printf '\n\033[1m$ %s\033[0m\n' "$*"; }

if [ ! -e "$project/task.toml" ]; then
  mkdir -p "$project"
  cp "$here/support_tickets/tickets.csv" "$project/"
  cd "$project"
  say "burnish init tickets.csv"
  burnish init tickets.csv
fi
cd "$project"
[ -z "$recipe" ] || cp "$recipe" recipe.toml

# two epochs keep the demo short; the default is four
say "burnish run --epochs 2"
burnish run --epochs 2 | tee run.txt
version=$(sed -n 's/^next: burnish promote \([^ ]*\).*/\1/p' run.txt)

say "burnish promote $version"
burnish promote "$version" --because "the demo"

cat > new.csv <<'ROWS'
subject,text
Parcel,Where is my parcel? It should have been here on Monday.
,I was charged twice for the same month.
ROWS
say "burnish predict new.csv"
burnish predict new.csv

report=$(sed -n 's/^report *//p' run.txt)
cat <<NEXT

That was the circle. What next?
  look at the report       $project/$report
  ask the model over HTTP  cd $project && burnish serve
  your own rows            burnish init YOUR_ROWS.csv && burnish data check && burnish run
  every stage, narrated    examples/circle.sh, docs/README.md
(\`burnish\` is in .venv/bin; put it on your path with: source .venv/bin/activate)
NEXT
