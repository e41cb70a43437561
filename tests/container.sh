#!/usr/bin/env bash
# Builds the image and lets the compose file's sandbox profile play: five rounds confirmed in a row, the bot killed in
# the middle, a retrain promoted, one submission per round, and a stop within ten seconds. Needs podman-compose (or
# COMPOSE="docker compose"); EVERY_S is the seconds from round to round.
set -euo pipefail
cd "$(dirname "$0")/.."

compose=${COMPOSE:-podman-compose}
engine=${compose%%[- ]*}
rounds=5
export SANDBOX_EVERY_S=${EVERY_S:-60} SANDBOX_HOST=${SANDBOX_HOST:-sandbox} SANDBOX_RETRAIN=${SANDBOX_RETRAIN:-150s}
export SANDBOX_WINDOW_S=$((SANDBOX_EVERY_S * 9 / 10))
command -v "$engine" >/dev/null || { echo "skipped: $engine is not installed"; exit 0; }

up() { $compose --profile sandbox up --detach --no-build "$@" >/dev/null; }
record() { python3 -c 'import json,sys,urllib.request as u; r=json.load(u.urlopen("http://127.0.0.1:8008/sandbox/record",timeout=10)); print(eval(sys.argv[1],{"r":r}))' "$1" 2>/dev/null || echo 0; }
held() { record 'len({s["round"] for s in r["submissions"]})'; }
logs() { $compose --profile sandbox logs bot-sandbox 2>&1; }
fail() { echo "failed: $1"; logs | tail -n 30; exit 1; }
await() {
  local deadline=$((SECONDS + $2 * SANDBOX_EVERY_S + 120))
  until [ "$(held)" -ge "$1" ]; do
    [ $SECONDS -lt $deadline ] || fail "$(held) of $1 rounds after $SECONDS s"
    sleep 1
  done
}

$engine build ${BUILD_OPTIONS:-} --tag numerai-bot .
trap '$compose --profile sandbox down --volumes >/dev/null 2>&1 || true' EXIT
up sandbox bot-sandbox
bot=$($engine ps --format '{{.Names}}' | grep bot-sandbox)
[ "$($engine exec "$bot" id -u)" = 10001 ] || fail "the bot does not run as its own user"
$engine exec "$bot" touch /opt/bot/x 2>/dev/null && fail "the bot can write outside its volume"

await 2 2
$engine kill --signal KILL "$bot" >/dev/null
echo "killed after round $(record 'r["submissions"][-1]["round"]')"
$engine start "$bot" >/dev/null
await $rounds $rounds

began=$SECONDS
$engine stop "$bot" >/dev/null
stopped=$((SECONDS - began))
status=$($engine inspect --format '{{.State.ExitCode}}' "$bot")
[ $stopped -le 10 ] && [ "$status" = 0 ] || fail "stopped after $stopped s with exit code $status"
[ "$(record 'len(r["submissions"])')" = "$(held)" ] || fail "a round holds more than one submission"
[ "$(record 'max(s["round"] for s in r["submissions"])-min(s["round"] for s in r["submissions"])+1')" = "$(held)" ] || fail "a round was missed"
[ "$(record 'all(s["selected"] and s["status"]=="success" and not s["late"] for s in r["submissions"])')" = True ] || fail "a submission was late or not taken"
promoted=$(logs | grep -c artifact.promoted) || fail "no retrain was promoted"

record '"\n".join("round %d  %s  %s  %s" % (s["round"], s["at"], s["sha256"][:12], s["status"]) for s in r["submissions"])'
echo "ok: $(held) rounds in a row, one submission each; $promoted retrains promoted; stopped in $stopped s with exit code $status"
