#!/bin/sh
# The study of real judges: sh docs/study/run.sh DATA [OUT]. The same command goes on after any stop.
#
# DATA holds the pairs of six public sets (the names are at the end) as rows that `hrlaif study` reads;
# `about.sha256` of each study.json says whether a file is the one that was studied. OUT (default: beside
# this file) gets for each set three pages, made by the commands that stand in them: the larger judge
# alone, both/ judges, and the small/ one. answers.jsonl.gz is what the judges answered, without any texts
# of the pairs; answers that are there are not asked again, so another machine goes on where this one
# stopped. VARIANTS=detailed-2shot-rationale asks each judge alone in this way too, VARIANTS=a,b in two.
set -eu
data=$1
out=${2:-$(dirname "$0")}
hrlaif=${HRLAIF:-hrlaif}
large="--judge packaged:qwen2.5-coder-1.5b-instruct"
small="--judge packaged:gemma-3-270m"
plain=base,base-1shot,base-2shot,detailed,detailed-1shot,detailed-2shot,detailed-8shot
reasons=base-rationale,detailed,detailed-rationale,detailed-1shot-rationale,detailed-2shot-rationale
trap : INT TERM # a study that is interrupted keeps its answers

study() { # name, file, task, probes, ways with reasons of the larger judge
    ledger=runs/study/$1/ledger.sqlite
    answers=$out/$1/answers.jsonl.gz
    mkdir -p "$out/$1/both" "$out/$1/small"
    test ! -f "$answers" || $hrlaif calls "$ledger" import --from "$answers"
    ended=0
    {
        page "$1" "$2" "$3" "$(more "$plain,$5,base-single")" "$large" "$4" &&
            page "$1/both" "$2" "$3" "$plain,base-single" "$large $small" 0 &&
            page "$1/small" "$2" "$3" "$(more "base,$reasons,base-single")" \
                "--rationale-tokens 128 $small" 0
    } || ended=$?
    $hrlaif calls "$ledger" export --answers-only -o "$answers"
    test $ended = 0 || exit $ended
}

page() { # its folder, file, task, ways, judges, probes
    folder=runs/study/${1%/*}
    # shellcheck disable=SC2086 # several words
    $hrlaif study "$data/$2" -o "$folder" --task "$3" --limit 200 --variants "$4" $5 \
        --probes "$6" --disagreements 0 --mass-floor 0 --max-abstentions 1 &&
        cp "$folder/study.json" "$folder/study.html" "$out/$1/"
}

more() { # these ways and those of VARIANTS, each once
    echo "$1${VARIANTS:+,$VARIANTS}" | tr , '\n' | awk '!seen[$0]++' | paste -sd , -
}

two=base-rationale,detailed-rationale
three=$two,detailed-1shot-rationale
study pandalm pandalm/pairs.jsonl.gz general 20 $three
study mt_bench mt_bench_human/pairs.jsonl.gz general 0 $three
study auto_j autoj_eval_p/pairs.jsonl.gz general 0 $two
study llmbar llmbar/pairs.jsonl.gz general 0 $two
study hh_helpful hh_rlhf/pairs_helpful_base.jsonl.gz helpful 0 $three
study hh_harmless hh_rlhf/pairs_harmless_base.jsonl.gz harmless 0 $three
