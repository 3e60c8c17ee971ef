"""Scripts that stand in for programs of a machine, in tests that run the commands of a page."""

from __future__ import annotations

__all__ = ["INSTALL", "NOTE"]

NOTE = """\
#!/bin/bash
echo "$(basename "$0") $*" >> "$NOTES"
"""
INSTALL = """\
#!/bin/bash
# as `install`, but gives nothing to another user: that is noted
if [[ "$* " == *" -o "* ]]; then echo "install $*" >> "$NOTES"; fi
words=()
while [ $# -gt 0 ]; do
    case "$1" in -o | -g) shift 2 ;; *) words+=("$1"); shift ;; esac
done
exec /usr/bin/install "${words[@]}"
"""
