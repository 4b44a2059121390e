#!/bin/sh
# Installs what the test suites start as real servers: OpenSSH and ProFTPD (for SFTP, FTP and
# FTPS), openssl for certificates, and curl and jq for the commands of README.md. For Debian and Ubuntu, as root or with sudo. Quick when all
# is there. No service is started or enabled.
set -eu

missing=
need() { # need <file> <package>
    [ -e "$1" ] || missing="$missing $2"
}
need /usr/sbin/sshd openssh-server
need /usr/bin/ssh-keygen openssh-client
need /usr/sbin/proftpd proftpd-core
need /usr/lib/proftpd/mod_tls.so proftpd-mod-crypto
need /usr/bin/openssl openssl
need /usr/bin/curl curl
need /usr/bin/jq jq

if [ -z "$missing" ]; then
    echo "tests/setup.sh: everything is installed"
    exit 0
fi

as_root=
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || {
        echo "tests/setup.sh: run as root, or install:$missing" >&2
        exit 1
    }
    as_root=sudo
fi

# Debian starts a daemon as soon as it is installed, unless this file says no.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' | $as_root tee "$policy" >/dev/null
    $as_root chmod 755 "$policy"
    trap '$as_root rm -f "$policy"' EXIT
fi

$as_root env DEBIAN_FRONTEND=noninteractive apt-get update -q
# shellcheck disable=SC2086 # one word per package
$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $missing

# A daemon this script has brought must not start with the machine either.
if command -v systemctl >/dev/null; then
    case "$missing" in *openssh-server*) $as_root systemctl disable ssh >/dev/null 2>&1 || true ;; esac
    case "$missing" in *proftpd-core*) $as_root systemctl disable proftpd >/dev/null 2>&1 || true ;; esac
fi
