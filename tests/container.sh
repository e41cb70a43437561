#!/usr/bin/env bash
# Builds both images and lets the compose file's sandbox profile play until five rounds in a row are confirmed, trained by one
# container by a recipe of one's own and submitted by another, killed in the middle; then stops it. Needs podman and podman-compose,
# or COMPOSE="docker compose". EVERY_S: seconds from round to round. pip's settings (PIP_INDEX_URL, PIP_EXTRA_INDEX_URL,
# PIP_FIND_LINKS) are handed to the build, BUILD_OPTIONS too; podman keeps the health checks with BUILD_OPTIONS="--format docker".
set -euo pipefail
cd "$(dirname "$0")/.."

compose=${COMPOSE:-podman-compose}
engine=${compose%%[- ]*}
for program in "$engine" "${compose%% *}"; do
  command -v "$program" >/dev/null || { echo "skipped: $program is not installed"; exit 0; }
done
# Names of its own: whatever runs here already keeps its containers, volumes, image and port.
export COMPOSE_PROJECT_NAME=numerai-bot-check IMAGE=numerai-bot-check TRAINER_IMAGE=numerai-bot-check-trainer SANDBOX_PORT=${SANDBOX_PORT:-18008}
export SANDBOX_EVERY_S=${EVERY_S:-60} SANDBOX_HOST=${SANDBOX_HOST:-sandbox} SANDBOX_RETRAIN=${SANDBOX_RETRAIN:-90s}
export SANDBOX_WINDOW_S=$((SANDBOX_EVERY_S * 9 / 10))
rounds=5

bot=
inside() { $engine exec "$bot" "$@"; }
fail() {
  echo "failed: $1"
  [ -z "$bot" ] || $engine logs "$bot" 2>&1 | tail -n 30
  exit 1
}
down() { $compose --profile sandbox down --volumes >/dev/null 2>&1 || true; }
record() { python3 -c 'import sys, urllib.request as u; print(u.urlopen(sys.argv[1], timeout=10).read().decode())' "http://127.0.0.1:$SANDBOX_PORT/sandbox/record" 2>/dev/null || echo '{"submissions": []}'; }
# The sandbox's record beside the bot's own ledger; prints "<confirmed rounds in a row> <artifacts they used>".
judge() {
  python3 - "$1" "$(record)" "$2" <<'PY'
import json, sys

say, record, ledger = sys.argv[1] == "say", json.loads(sys.argv[2])["submissions"], json.loads(sys.argv[3] or "{}")
rows = [one for one in ledger.get("rounds", ()) if one["state"] == "confirmed"]
confirmed = {one["round"]: (one["artifact"], one["submission"]) for one in rows}
held = {one["round"]: one for one in record if one["selected"]}
for one in record:
    # A request that is given up after its time limit may still arrive: the same content twice, of which one is selected.
    if one["late"] or one["status"] != "success" or one["sha256"] != held.get(one["round"], {}).get("sha256"):
        sys.exit(f"round {one['round']} was late, not taken, or holds another content: {one}")
for number, (artifact, submission) in sorted(confirmed.items()):
    if held.get(number, {}).get("id") != submission:
        sys.exit(f"round {number} is confirmed by the bot as {submission}, but the sandbox holds {held.get(number)}")
    if number != min(confirmed) and number - 1 not in confirmed:
        sys.exit(f"round {number - 1} was missed")
    if say:
        print(f"round {number}  at {held[number]['at']}  confirmed  sha256 {held[number]['sha256'][:12]}  artifact {artifact}")
if say and len(record) > len(held):
    print(f"{len(record) - len(held)} requests arrived after their time limit, with the content that was sent again")
if not say:
    print(len(confirmed), len({artifact for artifact, _ in confirmed.values()}))
PY
}
# Waits for so many confirmed rounds from so many artifacts. Training is niced: on a busy machine it takes minutes.
await() {
  local deadline=$((SECONDS + $1 * SANDBOX_EVERY_S + 600)) verdict=
  while :; do
    verdict=$(judge count "$(inside bot status --json 2>/dev/null || true)") || fail "the record and the ledger"
    [ "${verdict% *}" -lt "$1" ] || [ "${verdict#* }" -lt "$2" ] || return 0
    [ $SECONDS -lt $deadline ] || fail "after $SECONDS s: $verdict (confirmed rounds, artifacts in use), wanted $1 $2"
    sleep 2
  done
}

handed=()
for name in PIP_INDEX_URL PIP_EXTRA_INDEX_URL PIP_FIND_LINKS; do
  [ -z "${!name:-}" ] || handed+=(--build-arg "$name")
done
# shellcheck disable=SC2086 # several options
$engine build ${BUILD_OPTIONS:-} ${handed[@]+"${handed[@]}"} --target trainer --tag "$TRAINER_IMAGE" .
# shellcheck disable=SC2086
$engine build ${BUILD_OPTIONS:-} ${handed[@]+"${handed[@]}"} --target runtime --tag "$IMAGE" .
size=$($engine run --rm --user 0 --entrypoint du "$IMAGE" -xsm / 2>/dev/null | cut -f1)
[ "$size" -le 650 ] || fail "the submitting image takes $size MB unpacked, more than 650"
! $engine run --rm --entrypoint python "$IMAGE" -c 'import torch' 2>/dev/null || fail "the submitting image has torch"
distributions=$($engine run --rm --entrypoint python "$IMAGE" -c 'import importlib.metadata as m; print(len({one.name for one in m.distributions()}) - 1)')
[ "$distributions" -le 52 ] || fail "the submitting image holds $distributions distributions beside the bot, more than 52"
# A bot.toml and a recipe of one's own beside a compose.yaml: the recipe's artifacts fill the rounds.
folder=$(mktemp -d)
cp compose.yaml "$folder"
mkdir "$folder/recipes" "$folder/secrets"
echo 'min_rows = 40' >"$folder/bot.toml"
printf 'base = "demo"\nneutralize = 0.25\n' >"$folder/recipes/mine.toml"
chmod -R a+rX "$folder"
cd "$folder"
export SANDBOX_RECIPE=mine
trap 'down; rm -rf "$folder"' EXIT
down
$compose --profile sandbox up --detach --no-build sandbox bot-sandbox trainer-sandbox >/dev/null
bot=$($engine ps --all --format '{{.Names}}' | grep "$COMPOSE_PROJECT_NAME.bot-sandbox") || fail "the bot did not start"
trainer=$($engine ps --all --format '{{.Names}}' | grep "$COMPOSE_PROJECT_NAME.trainer-sandbox") || fail "no trainer"
! $engine exec "$trainer" env | grep -q SECRET_KEY || fail "the trainer sees the key"

[ "$(inside id -u)" = 10001 ] || fail "the bot does not run as its own user"
[ "$(inside sed -n 's/^CapEff:\t//p' /proc/self/status)" = 0000000000000000 ] || fail "the bot has capabilities"
for path in /opt/bot/x /x /config/x /config/bot.toml /config/recipes/x; do
  ! inside touch "$path" 2>/dev/null || fail "the bot can write $path, outside its volume"
  ! $engine exec "$trainer" touch "$path" 2>/dev/null || fail "the trainer can write $path, outside its volume"
done
inside grep -q 'min_rows = 40' bot.toml || fail "bot.toml did not reach the bot"
! $engine exec "$trainer" ls /run/secrets/NUMERAI_SECRET_KEY 2>/dev/null || fail "the trainer sees the secrets"

await 2 1
judge say "$(inside bot status --json)"
inside bot health || fail "the bot is not well"
$engine exec "$trainer" bot health --trainer || fail "the trainer is not well"
echo "killed"
inside sh -c 'kill -KILL -1' >/dev/null 2>&1 || true
await $rounds 2
restarts=$($engine inspect --format '{{.RestartCount}}' "$bot")
[ "$restarts" -ge 1 ] || fail "the bot was not restarted, so it was not killed"
! inside test -e /data/.cache || fail "something keeps a cache in the volume: $(inside find /data/.cache -type f)"

status=$(inside bot status --json)
began=$SECONDS
$engine stop "$bot" >/dev/null
stopped=$((SECONDS - began))
code=$($engine inspect --format '{{.State.ExitCode}}' "$bot")
[ $stopped -le 10 ] && [ "$code" = 0 ] || fail "stopped after $stopped s with exit code $code"
$engine logs "$bot" 2>&1 | grep -q daemon.stopped || fail "the bot was ended before it had stopped"
judge say "$status" || fail "the record and the ledger"
last=$(python3 -c 'import json, sys; print(next(one["artifact"] for one in json.loads(sys.argv[1])["rounds"] if one["state"] == "confirmed"))' "$status")
recipe=$($engine exec "$trainer" python -c 'import json, sys; print(json.load(open(f"/data/artifacts/{sys.argv[1]}/manifest.json"))["recipe"]["name"])' "$last")
[ "$recipe" = mine ] || fail "the newest round was filled by recipe $recipe, not by that beside compose.yaml"
verdict=$(judge count "$status")
promoted=$($engine logs "$trainer" 2>&1 | grep -c artifact.promoted)
echo "ok: image $size MB, $distributions distributions; ${verdict% *} rounds in a row, one content each, from ${verdict#* } artifacts, the newest of recipe $recipe; $promoted promoted; restarts: $restarts; stopped in $stopped s with exit code $code"
