#!/usr/bin/env bash
# The circle, as a person would type it: from labelled rows to a model that answers, and back to the one before.
#
#   bash examples/circle.sh                       # the shipped sample, the default base model
#   bash examples/circle.sh my_rows.csv           # your own rows
#   RECIPE=quick.toml bash examples/circle.sh     # another recipe (the tests use a tiny model)
#   PROJECT=folder bash examples/circle.sh        # keep what it makes; otherwise a temporary folder is used
#
# Every stage is one command; docs/README.md has a page for each.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
rows=$(realpath "${1:-$here/support_tickets/tickets.csv}")
recipe=${RECIPE:+$(realpath "$RECIPE")}
project=${PROJECT:-$(mktemp -d)}
server=
trap '[ -z "$server" ] || kill "$server"; [ -n "${PROJECT:-}" ] || rm -rf "$project"' EXIT
cd "$project"
cp "$rows" tickets.csv
[ -z "$recipe" ] || cp "$recipe" recipe.toml

say() { printf '\n\033[1m== %s\033[0m\n' "$*"; }

say "1 define: what is right? (tasks/)"
burnish init tickets.csv

say "2 build: what do we have? (data/)"
# The sample has faults on purpose, so the check finds errors and ends with exit code 1.
burnish data check || [ $? -eq 1 ]

say "3 preprocess: what does the model see? (encode/)"
burnish data show --count 2

say "0 decide: does something that exists do the job? (decide/)"
burnish decide

say "4, 5, 6 train, evaluate, bundle: the whole circle (models/ train/ evaluate/ decide/ deploy/)"
# Exit code 3 means that a gate said no; `set -e` would stop here, as a pipeline should.
burnish run | tee first.txt
first=$(sed -n 's/^next: burnish promote \([^ ]*\).*/\1/p' first.txt)

say "what was trained, and from which version of the data"
burnish runs list
burnish data list

say "6 deploy: $first goes live"
burnish promote "$first" --because "first model"

say "7 serve: answer over HTTP (serve/)"
burnish serve --port 0 > serve.txt &
server=$!
until grep -q '^serving' serve.txt; do sleep 0.2; done
address=$(sed -n 's/^serving .* on //p' serve.txt)
until curl -sf "$address/readyz" > ready.json; do sleep 0.2; done
curl -sf "$address/v1/predictions" \
  -H "Authorization: Bearer $(cat .burnish/token)" -H 'Content-Type: application/json' \
  -d '{"inputs": {"subject": "Parcel", "text": "Where is my parcel? It should have been here on Monday."}}' \
  > answer.json
cat answer.json; echo

say "9 monitor: a person checks the answer; where did it come from? (deploy/, monitor/)"
id=$(sed -n 's/.*"id":"\([0-9a-f]*\)".*/\1/p' answer.json | head -n 1)
label=$(sed -n 's/.*"label":"\([^"]*\)".*/\1/p' answer.json | head -n 1)
burnish feedback add "$id" --label "$label" --by "the example"
burnish trace "$id"
burnish monitor

say "the same model on a file, on the same path"
head -n 4 tickets.csv > new_rows.csv
burnish predict new_rows.csv -o answers.csv
cat answers.csv

say "10 retrain: the checked answer is a new row; the candidate is judged on the same test rows (retrain/)"
burnish retrain | tee second.txt
second=$(sed -n 's/^next: .*burnish promote \([^ ]*\).*/\1/p' second.txt)

say "the candidate answers in silence beside the live model; then it goes live, and the running server follows"
burnish shadow "$second"
burnish promote "$second" --because "learnt from the checked answer"
burnish deployments

say "and back"
burnish rollback --because "it was only an example"
burnish deployments --history

say "the server drains and leaves"
kill -TERM "$server"
wait "$server"
server=
