#!/bin/sh
# What the Dockerfile's first stage does, as a script, so that it can be tried without a builder:
#   install.sh SOURCE TARGET   with SOURCE the tree that the build context holds, TARGET a new environment
# Everything is checked against its hash; nothing is compiled, so that no compiler is needed.
set -eu
source=$1
target=$2
python=${PYTHON:-python3}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
pip="$python -m pip --disable-pip-version-check --quiet"

"$python" -m venv --without-pip "$target"
$pip --python "$target/bin/python" install --no-deps --require-hashes --only-binary :all: \
    -r "$source/requirements-image.lock"

"$python" -m venv "$work/build"
$pip --python "$work/build/bin/python" install --no-deps --require-hashes --only-binary :all: \
    -r "$source/requirements-build.lock"
"$work/build/bin/python" -m pip --disable-pip-version-check --quiet wheel --no-deps \
    --no-build-isolation --wheel-dir "$work/wheels" "$source"
$pip --python "$target/bin/python" install --no-deps --no-index "$work"/wheels/*.whl

# The sandbox is in the wheel for those who try Leeward, and has no place in production.
find "$target" -type d -name leeward_sandbox -prune -exec rm -rf {} +
rm -f "$target/bin/leeward-sandbox"
