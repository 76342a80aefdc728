#!/usr/bin/env bash
# What `rez build` runs for package.py: ROOT is the source, the second word says whether to install.
set -euo pipefail
root="$1"
[ "${2:-}" = install ] || { echo "nothing to do before rez build --install"; exit 0; }
target="$REZ_BUILD_INSTALL_PATH"
extras="${REZ_BUILD_VFXSWAP_EXTRAS:+[$REZ_BUILD_VFXSWAP_EXTRAS]}"

"${VFXSWAP_BUILD_PYTHON:-python3}" -m venv --clear "$target/venv"
"$target/venv/bin/python" -m pip install --quiet -c "$root/constraints.txt" "$root$extras"

# Only vfxswap goes on the PATH: the environment's own python would hide that of whoever resolves it.
mkdir -p "$target/bin"
ln -sfn ../venv/bin/vfxswap "$target/bin/vfxswap"
shipped="$("$target/venv/bin/vfxswap" hosts path nuke)/../.."
ln -sfn "$(realpath "$shipped/hosts")" "$target/hosts"
ln -sfn "$(realpath "$shipped/gizmos")" "$target/gizmos"
"$target/venv/bin/vfxswap" doctor
