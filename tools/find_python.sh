#!/bin/sh
# Prints the path of a Python that the virtual environment can be made with, or else says what to
# install. Usage: find_python.sh [PYTHON]
set -u

# Prints the Debian packages that Python $1 lacks, separated by spaces; fails if its version is out
# of range or it does not run at all (a pyenv shim, for example).
missing_packages() {
    "$1" - 2>/dev/null <<'EOF'
import importlib.util
import pathlib
import shutil
import sys
import sysconfig

if not (3, 10) <= sys.version_info[:2] <= (3, 12):
    sys.exit(1)
python = f"python{sys.version_info[0]}.{sys.version_info[1]}"
lacking = []
if importlib.util.find_spec("venv") is None or importlib.util.find_spec("ensurepip") is None:
    lacking.append(f"{python}-venv")
if not pathlib.Path(sysconfig.get_path("include"), "Python.h").exists():
    lacking.append(f"{python}-dev")
lacking += [tool for tool in ("gcc", "g++") if shutil.which(tool) is None]
print(*lacking)
EOF
}

advice=
for python in ${1:-python3 python3.12 python3.11 python3.10}; do
    missing=$(missing_packages "$python") || continue
    if [ -z "$missing" ]; then
        command -v "$python"
        exit 0
    fi
    advice=${advice:-"$python is of a good version, but the build of the ROS 2 interfaces needs more: sudo apt install $missing"}
done
echo "${advice:-"${1:-python3} is not a Python 3.10, 3.11 or 3.12 that runs: install one, or name one with PYTHON=..."}" >&2
exit 1
