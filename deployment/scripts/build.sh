#!/usr/bin/env bash
set -euo pipefail

usage() {
    cat <<'USAGE'
Usage: build.sh VERSION [--into DIR]

Build the release of the service that runs on ia-modules VERSION: a directory with its own virtual environment, the
service from a wheel, the pinned requirements, and release.json. The directory appears under its final name only when
it has been tried. A release that is there already is left alone: it never changes. When the sources have changed since,
that is an error: raise the service's version.

  VERSION      an ia-modules version that has a lock in deployment/releases/, e.g. 0.2.0
  --into DIR   where releases live (default: $RELEASES_DIR, else deployment/releases/built)

Environment: PYTHON, the interpreter to build on (default: the first python3 >= 3.11 on PATH that other users can run
too, else the first one). uv is used when it is on PATH, else venv and pip.
USAGE
}

fail() {
    echo "build.sh: $*" >&2
    exit 2
}

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
deployment=$(dirname "$here")
service=$deployment/service
version=''
into=${RELEASES_DIR:-$deployment/releases/built}
while (($#)); do
    case $1 in
        -h | --help)
            usage
            exit 0
            ;;
        --into)
            (($# > 1)) || fail '--into needs a directory'
            into=$2
            shift
            ;;
        -*) fail "unknown option $1; see --help" ;;
        *)
            [[ -z $version ]] || fail "one VERSION at a time, not also $1"
            version=$1
            ;;
    esac
    shift
done
[[ -n $version ]] || fail 'which ia-modules VERSION? see --help'
lock=$deployment/releases/ia-modules-$version.txt
if [[ ! -f $lock ]]; then
    known=("$deployment"/releases/ia-modules-*.txt)
    known=("${known[@]##*/ia-modules-}")
    fail "no lock for ia-modules $version in deployment/releases/; there are: ${known[*]%.txt}"
fi

# A release may be run by another user, who must be able to reach the interpreter below it.
find_python() {
    local candidate first=''
    while IFS= read -r candidate; do
        "$candidate" - "${1:-}" <<'PY' 2>/dev/null || continue
import sys
ready = sys.version_info >= (3, 11)
if sys.argv[1] == "pip":
    import ensurepip, venv
sys.exit(not ready)
PY
        first=${first:-$candidate}
        if "$candidate" -c 'import pathlib, sys
sys.exit(not all(p.stat().st_mode & 1 for p in pathlib.Path(sys.executable).resolve().parents))'; then
            echo "$candidate"
            return
        fi
    done < <(type -ap python3)
    [[ -n $first ]] || return 1
    echo "$first"
}

installer=pip
if command -v uv >/dev/null; then installer=uv; fi
python=${PYTHON:-$(find_python "$installer")} || fail 'no python3 >= 3.11 with venv on PATH; install python3 and python3-venv'

service_version=$(sed -n 's/^__version__ = "\(.*\)"$/\1/p' "$service/ia_service/__init__.py")
release=$service_version+ia$version
mkdir -p "$into"
into=$(cd "$into" && pwd)
target=$into/$release

# What the release is made of: lock, service sources and this script.
sources=$("$python" - "$lock" "${BASH_SOURCE[0]}" "$service/pyproject.toml" "$service/ia_service" <<'PY'
import hashlib, pathlib, sys
digest = hashlib.sha256()
for root in map(pathlib.Path, sys.argv[1:]):
    files = [root] if root.is_file() else sorted(f for f in root.rglob("*") if f.is_file() and f.suffix != ".pyc")
    for file in files:
        digest.update(f"{file.relative_to(root.parent)}\0".encode() + hashlib.sha256(file.read_bytes()).digest())
print(digest.hexdigest())
PY
)
built_from() {
    sed -n 's/^ *"sources": "\(.*\)".*/\1/p' "$target/release.json" 2>/dev/null
}
if [[ -d $target && $(built_from) == "$sources" ]]; then
    echo "release $release is ready: $target (unchanged)"
    exit 0
fi

if [[ -d $target ]]; then
    fail "$target is there already, built from other sources. A release never changes: raise the version in" \
        "deployment/service/ia_service/__init__.py, or remove the directory when nothing runs from it"
fi

# What a killed build left behind; a younger one may be somebody else's, still at work.
find "$into" -maxdepth 1 -name '.partial-*' -mmin +60 -exec rm -rf {} +
partial=$(mktemp -d "$into/.partial-$release.XXXXXX")
trap 'rm -rf "$partial"' EXIT
wheels=$partial/.wheels
echo "building $release with $installer on $("$python" --version)" >&2
if [[ $installer == uv ]]; then
    uv build --quiet --wheel --python "$python" --out-dir "$wheels" "$service"
    uv venv --quiet --allow-existing --python "$python" "$partial"
    VIRTUAL_ENV=$partial uv pip install --quiet --no-deps --compile-bytecode -r "$lock" "$wheels"/*.whl
else
    "$python" -m venv "$partial"
    "$partial/bin/pip" wheel --quiet --disable-pip-version-check --no-deps --wheel-dir "$wheels" "$service"
    "$partial/bin/pip" install --quiet --disable-pip-version-check --no-deps -r "$lock" "$wheels"/*.whl
fi
rm -rf "$wheels"

# Scripts carry the path of the environment; it is about to move. The manifest says what was installed.
"$partial/bin/python" - "$partial" "$target" "$release" "$sources" <<'PY'
import datetime, hashlib, json, pathlib, platform, sys
from importlib.metadata import distributions, version
partial, target, release, sources = sys.argv[1:]
for script in pathlib.Path(partial, "bin").iterdir():
    if script.is_file() and not script.is_symlink() and partial.encode() in (content := script.read_bytes()):
        script.write_bytes(content.replace(partial.encode(), target.encode()))
installed = sorted(
    f"{dist.name.lower()}=={dist.version} {file} {file.hash.value}"
    for dist in distributions(path=[p for p in sys.path if p.startswith(partial)])
    if dist.name not in {"pip", "setuptools"}  # what a venv brings along, or not
    for file in dist.files or ()
    if file.hash and ".." not in file.parts and file.name not in {"INSTALLER", "REQUESTED", "direct_url.json"}
    and file.suffix != ".pyc"
)
manifest = {
    "release": release,
    "service_version": version("ia-modules-service"),
    "ia_modules_version": version("ia-modules"),
    "python": platform.python_version(),
    "digest": hashlib.sha256("\n".join(installed).encode()).hexdigest(),
    "sources": sources,
    "built_at": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
}
pathlib.Path(partial, "release.json").write_text(json.dumps(manifest, indent=2) + "\n")
PY
# mktemp made the directory for its owner alone; a release is for everybody to read and run.
chmod -R a+rX "$partial"

# Tried where it stands, through the module: the script's path is valid only after the move.
said=$("$partial/bin/python" -m ia_service version)
"$partial/bin/python" - "$said" "$release" "$service_version" "$version" <<'PY' || fail "the new release says $said"
import json, sys
import ia_service.replica, ia_service.server  # what serving needs
said = json.loads(sys.argv[1])
sys.exit([said["release"], said["service_version"], said["ia_modules_version"]] != sys.argv[2:])
PY

state=built
# A rename, so that nobody ever sees half a release; of two builders at once, one comes second and yields.
if ! "$python" -c 'import os, sys; os.rename(*sys.argv[1:])' "$partial" "$target" 2>/dev/null; then
    [[ $(built_from) == "$sources" ]] || fail "$target was built from other sources meanwhile; try again"
    state='built by somebody else meanwhile'
fi
"$target/bin/ia-service" version >&2
echo "release $release is ready: $target ($state)"
