# Sourced by run.sh and test.sh, from the root of the checkout.
#
#   environment FOLDER REQUIREMENT...
#
# makes the virtual environment FOLDER with the first Python >= 3.11 that works here (or
# keeps it, if it is there) and installs the requirements into it with uv. Where the machine
# has no uv, one is installed inside FOLDER, never elsewhere.
#
# Where no NVIDIA card is seen, PyTorch comes from its index of builds for the CPU, a tenth of the
# size. UV_TORCH_BACKEND says otherwise: auto (what the card takes), cpu, or such as cu128.

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

CPU_INDEX=https://download.pytorch.org/whl/cpu

has_nvidia() { # a card that its driver sees
    [ -e /proc/driver/nvidia/version ] || nvidia-smi -L >/dev/null 2>&1
}

reaches() { # PYTHON ADDRESS
    "$1" -c 'import sys, urllib.request as u; u.urlopen(sys.argv[1], timeout=10).close()' "$2" \
        >/dev/null 2>&1
}

choose_torch() { # PYTHON: which build of PyTorch uv takes
    if [ -n "${UV_TORCH_BACKEND:-}" ]; then
        say "PyTorch: $UV_TORCH_BACKEND, as UV_TORCH_BACKEND says"
    elif [ "$(uname)" != Linux ] || has_nvidia; then
        return 0 # a Mac has one build, a card needs that with CUDA
    elif "$1" -c 'import importlib.util as i, sys; sys.exit(i.find_spec("torch") is None)'; then
        return 0 # it is there already
    elif reaches "$1" "$CPU_INDEX/torch/"; then
        say "no NVIDIA card is seen: PyTorch for the CPU (UV_TORCH_BACKEND=auto takes another)"
        export UV_TORCH_BACKEND=cpu
    else
        say "no NVIDIA card is seen, but $CPU_INDEX is not reached:" \
            "PyTorch with CUDA comes instead, 3 GB to download and 6 GB of disk"
    fi
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
        [ -x "$uv" ] || "$folder/bin/python" -m pip install uv
    fi
    choose_torch "$folder/bin/python"
    say "installing into $folder"
    # What is downloaded, and how far it is, stands on the terminal; a log needs none of it.
    [ -z "${CI:-}" ] || set -- --quiet "$@"
    # Compiled once, here: napari and PyTorch have ten thousand files, and the first window
    # would wait for theirs.
    "$uv" pip install --compile-bytecode --python "$folder/bin/python" "$@"
}

# ---- The window ----

has_display() {
    [ "$(uname)" != Linux ] || [ -n "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ]
}

# What Qt loads to open a window on Linux; wheels cannot bring it.
window_libraries() { # FOLDER
    if [ "$(uname)" = Linux ] && ! opens_windows "$1/bin/python" 2>/dev/null; then
        system_packages libgl1 libegl1 libglib2.0-0 libfontconfig1 libdbus-1-3 libxkbcommon0 \
            libxkbcommon-x11-0 libxcb-cursor0 libxcb-icccm4 libxcb-keysyms1 libxcb-image0 \
            libxcb-randr0 libxcb-render-util0 libxcb-shape0 libxcb-xkb1 libxcb-sync1 libxcb-xfixes0
    fi
}

opens_windows() { # PYTHON: load all that Qt's own plugin for X needs, without a display
    "$1" - <<'EOF'
import ctypes, pathlib, PyQt6.QtGui
for name in "libGL.so.1", "libEGL.so.1":
    ctypes.CDLL(name)
ctypes.CDLL(pathlib.Path(PyQt6.__file__).parent / "Qt6/plugins/platforms/libqxcb.so")
EOF
}

# A screen that nobody sees, and hands that move its mouse, for the tests.
screen_tools() {
    if [ "$(uname)" = Linux ]; then
        for tool in Xvfb xauth xdotool; do
            command -v "$tool" >/dev/null || { system_packages xvfb xauth xdotool; return; }
        done
    fi
}
