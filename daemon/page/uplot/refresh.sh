#!/bin/sh
# Fetches uPlot anew into this folder, from the registry that npm is set to. Another version: set both lines below.
set -eu
version=1.6.32
integrity=sha512-KIMVnG68zvu5XXUbC4LQEPnhwOxBuLyW1AHtpm6IKTXImkbLgkMy+jabjLgSLMasNuGGzQm/ep3tOkyTxpiQIw==

cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
archive=$work/$(npm pack --silent --pack-destination "$work" "uplot@$version")
found=sha512-$(openssl dgst -sha512 -binary "$archive" | openssl base64 -A)
[ "$found" = "$integrity" ] || { echo "uplot $version is $found, not $integrity: nothing was changed" >&2; exit 1; }
tar -xzf "$archive" -C "$work"
cp "$work/package/LICENSE" "$work/package/dist/uPlot.iife.min.js" "$work/package/dist/uPlot.min.css" .
echo "uplot $version"
