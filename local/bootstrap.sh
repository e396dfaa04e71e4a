#!/usr/bin/env bash
# Makes .venv from the hash-pinned requirements, on a bare Debian too. Asks nothing.
set -euo pipefail

python=${PYTHON3:-python3}
if ! command -v "$python" >/dev/null; then
  echo "error: python3 is not installed: install Python 3.11 or newer and run this again" >&2
  exit 1
fi
if ! "$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))'; then
  echo "error: $("$python" --version) does not fit: set PYTHON3 to a Python of 3.11 to 3.13" >&2
  exit 1
fi
# Debian ships the venv module in a package of its own.
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends python3-venv python3-pip >/dev/null
  else
    echo "error: this Python can't make virtual environments: install python3-venv and run this again" >&2
    exit 1
  fi
fi
if ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
  "$python" -m venv --clear .venv
fi
.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
