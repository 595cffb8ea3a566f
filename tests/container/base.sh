# shellcheck shell=sh
# SPDX-License-Identifier: MIT
# Sourced: a minimal Debian 12 root made from the package sources of this very machine.

# make_root TARGET: a directory, or a file ending in .tar. Security updates are included.
make_root() {
    sources=$(mktemp)
    for suite in bookworm bookworm-updates bookworm-security; do
        apt-get indextargets --format "deb \$(REPO_URI) \$(RELEASE) \$(COMPONENT)" \
            'Created-By: Packages' 'Origin: Debian' "Codename: $suite"
    done >"$sources"
    if [ ! -s "$sources" ]; then
        echo "this machine's apt knows no Debian 12 sources (apt-get update?)" >&2
        rm -f "$sources"
        return 1
    fi
    made=0
    # In a deb822 or one-line file mmdebstrap takes the mirrors as they are, signatures checked by
    # the same keys.
    mmdebstrap --quiet --variant=minbase --mode=root bookworm "$1" "$sources" || made=$?
    rm -f "$sources"
    return "$made"
}
