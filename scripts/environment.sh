# Sourced by run.sh and test.sh, from the root of the checkout.
#
#   environment FOLDER REQUIREMENT...
#
# makes the virtual environment FOLDER with the first Python >= 3.11 that works here (or
# keeps it, if it is there) and installs the requirements into it with uv. Where the machine
# has no uv, one is installed inside FOLDER, never elsewhere.

# Many institutes and hospitals sign their traffic with a certificate that only the system
# knows; uv and pip by themselves trust lists of their own.
if [ -z "${SSL_CERT_FILE:-}" ] && [ -s /etc/ssl/certs/ca-certificates.crt ]; then
    export SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
    export PIP_CERT="${PIP_CERT:-$SSL_CERT_FILE}"
fi

say() { printf '%s\n' "napari-segnet: $*" >&2; }

is_python() { # an interpreter that runs (a pyenv shim may not) and is new enough
    "$1" -c 'import sys, ctypes, ssl; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

find_python() {
    for name in "${PYTHON:-}" python3.12 python3.11 python3.13 python3 python; do
        [ -n "$name" ] && is_python "$name" && command -v "$name" && return
    done
    return 1
}

# System packages, by their Debian names: only as root, only where something lacks.
system_packages() {
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
        say "installing $* with apt-get"
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
    else
        say "this machine lacks $*: install it (Debian, Ubuntu: sudo apt-get install $*)" \
            "or install uv, then run this again."
        exit 1
    fi
}

make_environment() { # FOLDER
    if uv --version >/dev/null 2>&1; then
        # Without a Python of its own, uv fetches one.
        uv venv --quiet --python "$(find_python || echo 3.12)" "$1"
        return
    fi
    find_python >/dev/null || system_packages python3 python3-venv
    python=$(find_python) || { say "Python 3.11 or newer is needed."; exit 1; }
    # Debian's Python comes without the part of venv that brings pip.
    "$python" -c 'import ensurepip' 2>/dev/null || system_packages python3-venv
    "$python" -m venv "$1"
}

environment() { # FOLDER REQUIREMENT...
    folder=$1
    shift
    if ! is_python "$folder/bin/python"; then
        say "making the environment $folder"
        rm -rf "$folder"
        make_environment "$folder"
    fi
    uv=uv
    if ! uv --version >/dev/null 2>&1; then
        uv=$folder/bin/uv
        [ -x "$uv" ] || "$folder/bin/python" -m pip install --quiet uv
    fi
    say "installing into $folder (the first time PyTorch is several GB)"
    "$uv" pip install --quiet --python "$folder/bin/python" "$@"
}
