#!/bin/sh
# The study of real judges: sh docs/study/run.sh DATA [OUT]. The same command goes on after any stop.
#
# DATA holds pandalm/, llmbar/, autoj_eval_p/, hh_rlhf/ and mt_bench_human/ with their pairs. Each
# study.json and study.html is copied to OUT (default: beside this file), without any texts.
set -eu
data=$1
out=${2:-$(dirname "$0")}
hrlaif=${HRLAIF:-hrlaif}
variants=${VARIANTS:-paper}

study() { # name, file, task
    folder=runs/study/$1
    $hrlaif study "$data/$2" -o "$folder" --task "$3" --limit 200 --variants "$variants" \
        --judge packaged:qwen2.5-coder-1.5b-instruct --judge packaged:gemma-3-270m \
        --probes 20 --disagreements 0 --mass-floor 0 --max-abstentions 1
    mkdir -p "$out/$1"
    cp "$folder/study.json" "$folder/study.html" "$out/$1/"
}

study pandalm pandalm/pairs.jsonl.gz general
study llmbar llmbar/pairs.jsonl.gz general
study auto_j autoj_eval_p/pairs.jsonl.gz general
study hh_helpful hh_rlhf/pairs_helpful_base.jsonl.gz helpful
study hh_harmless hh_rlhf/pairs_harmless_base.jsonl.gz harmless
study mt_bench mt_bench_human/pairs.jsonl.gz general
