#!/usr/bin/env bash
# The whole suite. It brings what the tests need and may be installed here (Debian's Chromium and rsyslog, say), says how
# where it may not, and never leaves that out silently when CI is set.
set -euo pipefail
cd "$(dirname "$0")/.."
BIN="${BIN:-.venv/bin}"

need() { # need PROGRAM PACKAGE, or need /a/file/*.so PACKAGE
    PATH="$PATH:/usr/sbin" command -v "$1" >/dev/null && return
    compgen -G "$1" >/dev/null && return
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo "installing Debian's $2 for the tests …"
        (apt-get install -y -qq --no-install-recommends "$2" || { apt-get update -qq && apt-get install -y -qq --no-install-recommends "$2"; }) >/dev/null 2>&1 && return
    fi
    echo "the tests want '$1': install it with: apt-get install $2" >&2
}
# Debian lets one system logger be installed, and that is rsyslog: syslog-ng is unpacked beside it, with its libraries.
SYSLOG_NG=/usr/local/lib/watchbill-tests/syslog-ng
unpack_syslog_ng() (
    set -e
    apt-get install -y -qq --no-install-recommends libivykis0 libjson-c5 libnet1 libpcre3 libwrap0 libcurl4
    cd "$(mktemp -d)"
    apt-get download -qq syslog-ng-core syslog-ng-mod-http
    mkdir -p "$SYSLOG_NG"
    for package in *.deb; do dpkg -x "$package" "$SYSLOG_NG"; done
)
need_syslog_ng() {
    compgen -G "$SYSLOG_NG/usr/lib/syslog-ng/*/libhttp.so" >/dev/null && return
    compgen -G "/usr/lib/syslog-ng/*/libhttp.so" >/dev/null && return
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo "unpacking Debian's syslog-ng for the tests …"
        (unpack_syslog_ng || { apt-get update -qq && unpack_syslog_ng; }) >/dev/null 2>&1 && return
    fi
    echo "the tests want syslog-ng with its http(): unpack Debian's syslog-ng-core and syslog-ng-mod-http into $SYSLOG_NG" >&2
}
need chromium chromium
need rsyslogd rsyslog
need softhsm2-util softhsm2
need openssl openssl
need "/usr/lib/*/rsyslog/omrelp.so" rsyslog-relp
need "/usr/lib/*/rsyslog/lmnsd_ossl.so" rsyslog-openssl
need "/usr/lib/*/rsyslog/lmnsd_gtls.so" rsyslog-gnutls
need strace strace
need go golang-go
need_syslog_ng

# Tests that read settings before they have a folder of their own stay clear of a developer's installation.
WATCHBILL_DATA="$(mktemp -d)"
export WATCHBILL_DATA
trap 'rm -rf "$WATCHBILL_DATA"' EXIT

workers="${WORKERS:-$(( $(nproc) > 1 ? $(nproc) : 1 ))}"
"$BIN/pytest" -q -n "$workers" --dist worksteal --durations=10 "$@"
