#!/usr/bin/env bash
# Everything to look at where a GPU is at hand, in one call of at most 8 minutes: `bench/gpu_check.sh [FOLDER]`.
# It writes the tables to FOLDER (default $OUT, else a new temporary folder), named for the device, and ends with 1 if a goal is
# missed. Without a GPU the same scripts run at a small scale; that checks the scripts and measures no GPU.
set -uo pipefail
cd "$(dirname "$0")"
python="${PYTHON:-../.venv/bin/python}"
export PYTHONPATH=..:.
folder="${1:-${OUT:-$(mktemp -d)}}"
mkdir -p "$folder"
device=$("$python" -c 'import torch; print(torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU")' | tr -cs 'A-Za-z0-9\n' '-')
export OMP_WAIT_POLICY=PASSIVE GOMP_SPINCOUNT=0 KMP_BLOCKTIME=0
if [ "$device" = CPU ]; then export OMP_NUM_THREADS=1; epoch=(--features 60 --rows 200); else epoch=(--scale 0.2); fi
missed=0
# Seconds for each: 5 minutes for the speeds, with and without torch.compile, and 3 for the rest.
timeout 300 "$python" gpu_epoch.py "${epoch[@]}" --json "$folder/$device-epoch.json" 2>&1 | tee "$folder/$device-epoch.txt" || missed=1
timeout 180 "$python" gpu_parts.py --json "$folder/$device-parts.json" 2>&1 | tee "$folder/$device-parts.txt" || missed=1
echo "tables: $folder"
exit $missed
