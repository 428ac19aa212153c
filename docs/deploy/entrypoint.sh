#!/bin/sh
# A volume that is mounted hides what the image has in its place, so what is missing there is put there first.
set -e
for file in dagster.yaml workspace.yaml; do
    [ -e "$DAGSTER_HOME/$file" ] || cp "${PLANDAY_APP:-/app}/$file" "$DAGSTER_HOME/$file"
done
mkdir -p "$DAGSTER_HOME/.dagster"
exec "$@"
