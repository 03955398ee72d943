#!/usr/bin/env bash
# Manages a Cloud TPU VM of one or more hosts:
#
#   export TPU_NAME=sum ZONE=us-east5-a
#   export ACCELERATOR_TYPE=v6e-16 RUNTIME_VERSION=v2-alpha-tpuv6e
#   launch/tpu_vm.sh create
#   launch/tpu_vm.sh install
#   launch/tpu_vm.sh run --config=configs/sum.py --workdir=gs://BUCKET/runs/sum
#   launch/tpu_vm.sh status
#   launch/tpu_vm.sh stop     # saves; the same `run` resumes
#   launch/tpu_vm.sh fetch gs://BUCKET/runs/sum runs/sum
#   launch/tpu_vm.sh delete   # the TPU costs until it is deleted
#
# With --dry_run before the subcommand, commands are printed and not run. SPOT=1
# creates a spot machine; PROJECT defaults to gcloud's project.
# Variables in single quotes are expanded on the hosts.
# shellcheck disable=SC2016
set -euo pipefail
cd "$(dirname "$0")/.."

fail() {
  printf 'tpu_vm.sh: %s\n' "$1" >&2
  exit 2
}

dry_run=
if [ "${1-}" = --dry_run ]; then
  dry_run=1
  shift
fi
subcommand=${1-}
[ $# -eq 0 ] || shift

for name in TPU_NAME ZONE; do
  [ -n "${!name-}" ] || fail "set $name: see the top of launch/tpu_vm.sh"
done
where=("--zone=$ZONE" ${PROJECT:+"--project=$PROJECT"})

run() { # prints a command, and runs it unless --dry_run is given
  printf '%q ' "$@"
  echo
  [ -n "$dry_run" ] || "$@"
}

on_all() { # runs lines of bash on every host
  run gcloud compute tpus tpu-vm ssh "$TPU_NAME" "${where[@]}" \
    --worker=all --command="$1"
}

case $subcommand in
  create)
    for name in ACCELERATOR_TYPE RUNTIME_VERSION; do
      [ -n "${!name-}" ] || fail "set $name: see the top of launch/tpu_vm.sh"
    done
    run gcloud compute tpus tpu-vm create "$TPU_NAME" "${where[@]}" \
      --accelerator-type="$ACCELERATOR_TYPE" --version="$RUNTIME_VERSION" \
      ${SPOT:+--spot}
    ;;
  install) # committed files and their environment, in ~/seqsum of every host
    archive=$(mktemp -d)/seqsum.tar.gz
    trap 'rm -r "$(dirname "$archive")"' EXIT
    run git archive --prefix=seqsum/ --output="$archive" HEAD
    run gcloud compute tpus tpu-vm scp "$archive" "$TPU_NAME:seqsum.tar.gz" \
      "${where[@]}" --worker=all
    # The hosts' Python may be too old for seqsum; uv installs one.
    on_all 'set -e
tar xzf seqsum.tar.gz
cd seqsum
python3 -m pip install --quiet --user uv
uv=$HOME/.local/bin/uv
$uv venv --allow-existing --python 3.11 .venv
$uv pip install --python .venv -c constraints.txt -e ".[tpu,gcs]"'
    ;;
  run) # continues after the connection ends; starts on all hosts
    [ $# -gt 0 ] || fail "run takes the arguments of python -m seqsum.main"
    on_all "cd seqsum && . .venv/bin/activate || exit
if [ -e run.pid ] && kill -0 \$(cat run.pid) 2>/dev/null; then
  echo 'a run is in progress: stop it first' >&2
  exit 1
fi
set -- $(printf '%q ' "$@")
nohup python -m seqsum.main \"\$@\" >>run.log 2>&1 </dev/null &
echo \$! >run.pid"
    ;;
  status)
    run gcloud compute tpus tpu-vm describe "$TPU_NAME" "${where[@]}" \
      --format='value(state)'
    on_all 'cd seqsum || exit
if kill -0 "$(cat run.pid)"; then echo running; else echo ended; fi
tail -n 3 run.log'
    ;;
  stop) # the processes save and exit; the TPU stays and still costs
    on_all 'kill -TERM "$(cat seqsum/run.pid)"'
    ;;
  fetch)
    [ $# -eq 2 ] || fail "fetch takes a run's folder and a local destination"
    case $1 in
      gs://*)
        run mkdir -p "$2"
        run gcloud storage rsync --recursive "$1" "$2"
        ;;
      *) # a folder on the only host, relative to the repository's root there
        run gcloud compute tpus tpu-vm scp "$TPU_NAME:seqsum/$1" "$2" \
          "${where[@]}" --worker=0 --recurse
        ;;
    esac
    ;;
  delete)
    run gcloud compute tpus tpu-vm delete "$TPU_NAME" "${where[@]}" --quiet
    ;;
  *)
    known="create, install, run, status, stop, fetch, delete"
    fail "unknown subcommand '$subcommand': choose from $known"
    ;;
esac
