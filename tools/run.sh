#!/usr/bin/env bash
# Shows one answer, then serves in the foreground: tools/run.sh CROP [FLAGS of crop serve]
set -euo pipefail
cd "$(dirname "$0")/.."
crop=$1
shift

echo
echo "\$ crop localize Examples/cat_eye.safetensors        # where is the cat's eye?"
"$crop" localize Examples/cat_eye.safetensors
echo
echo "\$ crop prune Examples/cat_eye_prune.json            # keep 64 of 576 tokens, the eye's first"
"$crop" prune Examples/cat_eye_prune.json
echo

# Passes the server's log on and, once it says where it listens, sends the request above over HTTP.
first_answer() {
  trap '' INT # The server's last lines come after Ctrl-C.
  local line url
  while IFS= read -r line; do
    printf '%s\n' "$line"
    case "$line" in
    *" listening "*url=*)
      url=${line#*url=}
      url=${url%% *}
      echo "\$ curl -H 'Content-Type: application/json' --data-binary @Examples/cat_eye_prune.json $url/prune"
      curl -sS --max-time 10 -H 'Content-Type: application/json' --data-binary @Examples/cat_eye_prune.json "$url/prune" || true
      echo
      echo "serving on $url until Ctrl-C"
      exec cat
      ;;
    esac
  done
}
# The localizer that is shipped; another folder may be named as everywhere.
export CROP_MODELS=${CROP_MODELS:-config/models}
exec "$crop" serve --config config/crop.yaml "$@" 2> >(first_answer >&2)
