#!/bin/sh
# The study of real judges: sh docs/study/run.sh DATA [OUT]. The same command goes on after any stop.
#
# DATA holds pandalm/, llmbar/, autoj_eval_p/, hh_rlhf/ and mt_bench_human/ with their pairs. OUT
# (default: beside this file) gets, for each set, study.json, study.html and answers.jsonl.gz: what
# the judges answered, without any texts of the pairs. Answers that are there are not asked again,
# so another machine goes on where this one stopped, and a whole study is remade in a minute.
set -eu
data=$1
out=${2:-$(dirname "$0")}
hrlaif=${HRLAIF:-hrlaif}
variants=${VARIANTS:-paper}
judges=${JUDGES:-packaged:qwen2.5-coder-1.5b-instruct packaged:gemma-3-270m}
trap : INT TERM # a study that is interrupted keeps its answers

study() { # name, file, task
    folder=runs/study/$1
    answers=$out/$1/answers.jsonl.gz
    mkdir -p "$out/$1"
    test ! -f "$answers" || $hrlaif calls "$folder/ledger.sqlite" import --from "$answers"
    ended=0
    # shellcheck disable=SC2046,SC2086 # several words
    $hrlaif study "$data/$2" -o "$folder" --task "$3" --limit 200 --variants "$variants" \
        $(printf ' --judge %s' $judges) \
        --probes "${PROBES:-20}" --disagreements 0 --mass-floor 0 --max-abstentions 1 || ended=$?
    $hrlaif calls "$folder/ledger.sqlite" export --answers-only -o "$answers"
    test $ended = 0 || exit $ended
    cp "$folder/study.json" "$folder/study.html" "$out/$1/"
}

study pandalm pandalm/pairs.jsonl.gz general
study llmbar llmbar/pairs.jsonl.gz general
study auto_j autoj_eval_p/pairs.jsonl.gz general
study hh_helpful hh_rlhf/pairs_helpful_base.jsonl.gz helpful
study hh_harmless hh_rlhf/pairs_harmless_base.jsonl.gz harmless
study mt_bench mt_bench_human/pairs.jsonl.gz general
