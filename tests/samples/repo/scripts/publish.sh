#!/bin/sh
set -eu
echo "$1" >"$SITE/index.html"
