#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Installs what is missing on Debian or Ubuntu, and nothing where all is there (then apt is not even asked).
#
#   tools/debian_packages.sh required|optional|browser
#
# required: Python's venv, a C compiler with headers. Exits with 1 and says what to do where they cannot be had.
# optional: Arm cross compiler, newlib, QEMU, gdb, ccache. Says what to do where they cannot be had, and exits with 0: the
#           demo and the tests then leave out what needs them, and say so (without ccache they only take longer).
# browser:  Chromium, in which tests look at report.html. As optional.
set -u

missing_required() {
    "${PYTHON:-python3}" -c 'import ensurepip, venv' 2>/dev/null || echo python3-venv
    command -v gcc >/dev/null || echo gcc
    echo '#include <stdio.h>' | gcc -E - >/dev/null 2>&1 || echo libc6-dev
}

missing_optional() {
    if ! command -v arm-none-eabi-gcc >/dev/null; then
        echo gcc-arm-none-eabi
        echo libnewlib-arm-none-eabi
    elif [ "$(arm-none-eabi-gcc -print-file-name=libc.a)" = libc.a ]; then # a bare name: not found
        echo libnewlib-arm-none-eabi
    fi
    command -v qemu-system-arm >/dev/null || echo qemu-system-arm
    command -v ccache >/dev/null || echo ccache
    command -v arm-none-eabi-gdb >/dev/null || command -v gdb-multiarch >/dev/null || echo gdb-multiarch
}

missing_browser() {
    command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null ||
        echo chromium
}

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

install() {
    command -v apt-get >/dev/null || return 1
    [ "$(id -u)" = 0 ] || command -v sudo >/dev/null || return 1
    echo "installing $* ..."
    as_root apt-get update -q &&
        as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "$@"
}

kind=${1:-}
case $kind in
required | optional | browser) ;;
*) echo "usage: $0 required|optional|browser" >&2; exit 2 ;;
esac

mapfile -t missing < <("missing_$kind")
[ ${#missing[@]} = 0 ] && exit 0
if install "${missing[@]}"; then
    mapfile -t missing < <("missing_$kind")
    [ ${#missing[@]} = 0 ] && exit 0
fi
echo "Missing, and could not be installed here: ${missing[*]}" >&2
echo "Please run as root: apt-get install --no-install-recommends ${missing[*]}" >&2
[ "$kind" != required ]
