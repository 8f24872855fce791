#!/bin/sh
# Makes .venv with robostack and the extras named, at the versions in constraints.txt. Quick when nothing changed.
#
#   ./setup.sh [--tools | --test-tools] [EXTRA...]        e.g. ./setup.sh train dev
#
# --tools also looks for the compilers and the emulator of the firmware, --test-tools for these and what only tests use:
# as root on Debian or Ubuntu it installs what is missing, elsewhere it prints the line that does (under CI=true a
# missing tool is an error).
# PYTHON chooses the interpreter (3.11 or newer). TORCH_INDEX="" takes torch from the usual index even without a GPU.
set -eu
cd "$(dirname "$0")"
VENV=.venv
STAMP=$VENV/robostack-setup
TORCH_INDEX=${TORCH_INDEX-https://download.pytorch.org/whl/cpu}

say() { printf '\033[1m%s\033[0m\n' "$*" >&2; }
die() { printf 'setup: %s\n' "$*" >&2; exit 1; }

# Installs Debian packages as root, or prints how to. Returns 1 when they are still missing.
debian() {
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        say "installing $*"
        { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@"; } >&2
    else
        printf 'setup: missing; on Debian or Ubuntu install them with:\n  sudo apt-get install %s\n' "$*" >&2
        return 1
    fi
}

# Adds to $missing the Debian packages of a command that is not here.
need() { command -v "$1" >/dev/null || missing="$missing $2"; }

firmware_tools() {
    need make make
    need gcc "gcc libc6-dev"
    need arm-none-eabi-gcc gcc-arm-none-eabi
    # -print-file-name echoes its argument when there is no such file
    case $(arm-none-eabi-gcc -print-file-name=nano.specs 2>/dev/null) in */*) ;; *) missing="$missing libnewlib-arm-none-eabi" ;; esac
    need qemu-system-arm qemu-system-arm
}

test_tools() {
    need cppcheck cppcheck # MISRA rules for the firmware
    need clang clang # the same C has to give the same bits from another compiler
    # libFuzzer lies in a package that is versioned like clang; this one is always its default version's
    printf 'int LLVMFuzzerTestOneInput(void) { return 0; }' |
        clang -fsanitize=fuzzer -x c - -o /dev/null 2>/dev/null || missing="$missing libclang-rt-dev"
    need ssh-keygen openssh-client # signatures go both ways between it and us
    need openssl openssl
    need jq jq # the manual's commands are typed, and it has pipes into it
    need fish fish # completion, asked of the shells themselves
    need zsh zsh
    for browser in chromium chromium-browser google-chrome; do command -v $browser >/dev/null && return; done
    missing="$missing chromium" # shows the pages
}

# Gets what is missing, or says what goes on without it.
get() {
    [ -z "$missing" ] && return
    # shellcheck disable=SC2086
    debian $missing && return
    [ "${CI:-}" = true ] && die "under CI=true every tool has to be there; missing:$missing"
    say "$1"
}

python() { # python3 first: a machine's own is the one that wheels are there for
    for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11}; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    die "needs Python 3.11 or newer${PYTHON:+, and PYTHON=$PYTHON is not}; install one, or set PYTHON to it"
}

extras=
for word in "$@"; do
    missing=
    case $word in
        --tools) firmware_tools && get "going on without the emulated board: the same C runs as a process of this machine" ;;
        --test-tools) firmware_tools && test_tools && get "the tests that need these will be skipped" ;;
        -*) die "there is no option $word; --tools and --test-tools are all" ;;
        *) extras="$extras $word" ;;
    esac
done

# What is installed already stays: asking for one extra never removes another.
state=$(cat pyproject.toml constraints.txt | cksum)
if [ -f $STAMP ]; then extras="$extras $(sed -n 2p $STAMP)"; fi
extras=$(printf '%s\n' $extras | sort -u | paste -sd, -)
[ -f $STAMP ] && [ "$(sed -n 1p $STAMP)" = "$state" ] && [ "$(sed -n 2p $STAMP)" = "$(echo "$extras" | tr , ' ')" ] && exit 0

if ! [ -x $VENV/bin/python ] || ! $VENV/bin/python -m pip --version >/dev/null 2>&1; then
    interpreter=$(python)
    "$interpreter" -c 'import ensurepip' 2>/dev/null || debian python3-venv || die "needs Python's venv module"
    say "making $VENV with $interpreter"
    "$interpreter" -m venv $VENV
fi
pip() { $VENV/bin/python -m pip --disable-pip-version-check "$@" -q -c constraints.txt; }

say "installing robostack${extras:+[$extras]} into $VENV"
case ",$extras," in *,train,*)
    # Without a GPU the CPU build saves gigabytes. Only torch itself comes from its own index, and only if it answers.
    if [ -n "$TORCH_INDEX" ] && ! [ -e /dev/nvidiactl ] && ! $VENV/bin/python -c 'import torch' 2>/dev/null &&
        $VENV/bin/python -c "import urllib.request as u; u.urlopen('$TORCH_INDEX/torch/', timeout=5)" 2>/dev/null; then
        pip install --no-deps --index-url "$TORCH_INDEX" torch || say "no torch there; taking it from the usual index"
    fi ;;
esac
pip install -e ".${extras:+[$extras]}" || die "pip failed; the lines above say why, and running this again goes on"
printf '%s\n%s\n' "$state" "$(echo "$extras" | tr , ' ')" >$STAMP.new && mv $STAMP.new $STAMP
