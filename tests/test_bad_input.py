"""Mistakes of users, on every command: one line names the setting or file and what is right.

Nothing is printed to stdout, the exit status is 1, and no files are left over.
"""

from __future__ import annotations

import os
import re
from math import inf
from typing import TYPE_CHECKING

import pytest

from nmt.commands import train
from nmt.commands.keys import SCHEMAS
from nmt.plain import without_none
from nmt.schema import Range, settings_of
from tests.commands import data_settings, error

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

HUGE = "99999999999999999999"
BAD_BYTE = os.fsdecode(b"a\xffb")

# A command line (with {checkpoint}, {run} and {digits} for their paths) and a pattern of the message. Files that it
# may name are those of `folder`.
COMMAND_LINES: dict[str, str] = {
    # no command
    "trian": r"no command 'trian': use one of prepare, train, translate, evaluate, average, embeddings",
    "Train": r"no command 'Train'",
    "train=1": r"no command 'train=1'",
    "--cfg job": r"no command '--cfg'",
    "-m train": r"no command '-m'",
    # unknown settings
    "train lr=1": r"no setting 'lr' for nmt train: did you mean optimizer\.lr\?",
    "train learning_rate=1": r"no setting 'learning_rate' for nmt train",
    "train model.hiden_dim=3": r"no setting 'model\.hiden_dim' .*did you mean model\.hidden_dim\?",
    "train +model.hiden_dim=3": r"no setting 'model\.hiden_dim' .*did you mean model\.hidden_dim\?",
    "train ++model.hiden_dim=3": r"no setting 'model\.hiden_dim' .*did you mean model\.hidden_dim\?",
    "train mdoel=lstm_tiny": r"no setting 'mdoel' .*did you mean model\?",
    "train ++mdoel.name=x": r"no setting 'mdoel\.name' .*did you mean",
    "train model.hidden_dim.x=3": r"no setting 'model\.hidden_dim\.x' .*did you mean model\.hidden_dim\?",
    "train seed.x=1": r"no setting 'seed\.x' .*did you mean seed\?",
    "train data.train.src.0=x": r"no setting 'data\.train\.src\.0' .*did you mean data\.train\.src\?",
    "train model@foo=lstm_tiny": r"no setting 'model@foo' .*did you mean model\?",
    "train model@=lstm_tiny": r"no setting 'model@' .*did you mean model\?",
    "train @=x": r"no setting '@'",
    "train defaults=[]": r"no setting 'defaults'",
    "train +defaults=[x]": r"no setting 'defaults'",
    "train +_target_=os.system": r"no setting '_target_'",
    "train _self_=x": r"no setting '_self_'",
    "train train_schema=x": r"no setting 'train_schema'",
    "train model/lstm_tiny=3": r"no setting 'model/lstm_tiny'",
    "train search/length_penalty=wu2016": r"no setting 'search/length_penalty' .*did you mean search\.length_penalty\?",
    "train optimizer/schedule=halving": r"no setting 'optimizer/schedule'",
    "train beam_size=3": r"no setting 'beam_size' .*did you mean search\.beam_size\?",
    "train input=a": r"no setting 'input' for nmt train",
    "translate seed=1": r"no setting 'seed' for nmt translate",
    "translate run_dir=x": r"no setting 'run_dir' for nmt translate",
    "translate checkpoint=x": r"no setting 'checkpoint' .*did you mean checkpoints\?",
    "translate experiment=quickstart": r"no setting 'experiment' for nmt translate",
    "translate +experiment=quickstart": r"no setting 'experiment' for nmt translate",
    "translate foo.bar=1": r"no setting 'foo\.bar'",
    "evaluate hypotheses=a reference=a": r"no setting 'hypotheses' .*did you mean hypothesis\?",
    "evaluate beam=4": r"no setting 'beam' for nmt evaluate",
    "prepare vocab_size=100": r"no setting 'vocab_size' .*did you mean subword\.vocab_size or subword\.src",
    "prepare a=1 b=2 c=3": r"'a' .*; .*'b' .*; .*'c'",
    "train hydra=x": r"no setting 'hydra' .*--cfg hydra",
    "train hydra.nothing=1": r"no setting 'hydra\.nothing' .*--cfg hydra",
    # words that are not settings
    "train foo": r"'foo' is not a setting: write KEY=VALUE",
    "train foo bar": r"'foo' .*; 'bar'",
    "train =3": r"'=3' is not a setting",
    "train +=3": r"'\+=3' is not a setting",
    "train +": r"'\+' is not a setting",
    "train -": r"'-' is not a setting",
    "train ~": r"'~' is not a setting",
    "train ~~": r"'~~' is not a valid KEY=VALUE",
    "train ~seed": r"'~seed' would remove a setting",
    "train ~model": r"'~model' would remove a setting",
    "train ~model=lstm_2x512": r"would remove a setting",
    "train ~experiment": r"would remove a setting",
    "train seed==3": r"'seed==3' is not a valid KEY=VALUE: quote",
    "train seed=(1)": r"is not a valid KEY=VALUE: quote",
    "train seed=[1": r"is not a valid KEY=VALUE: quote",
    "train seed={1": r"is not a valid KEY=VALUE: quote",
    "train seed=1]": r"is not a valid KEY=VALUE: quote",
    "train seed='1": r"is not a valid KEY=VALUE: quote",
    'train seed="1': r"is not a valid KEY=VALUE: quote",
    "train .=1": r"is not a valid KEY=VALUE",
    "train seed.=1": r"is not a valid KEY=VALUE",
    "train model..name=x": r"is not a valid KEY=VALUE",
    "train model.*=3": r"is not a valid KEY=VALUE",
    "train data.train.src[0]=x": r"is not a valid KEY=VALUE",
    "train /model=lstm_tiny": r"is not a valid KEY=VALUE",
    "train seed=${}": r"is not a valid KEY=VALUE",
    "train seed=½": r"is not a valid KEY=VALUE",
    "train seed=int(x)": r"'seed=int\(x\)': .*invalid literal",
    "train seed=nothing(3)": r"Unknown function 'nothing'",
    f"train seed={'9' * 5000}": r"'seed=9+…' is not a valid KEY=VALUE",
    f"train {BAD_BYTE}=1": r"a\\udcffb=1' is not a valid KEY=VALUE",
    f"train seed={BAD_BYTE}": r"seed=a\\udcffb' is not a valid",
    # options of Hydra
    "train --nothing": r"no option --nothing \(nmt train --help\)",
    "train -x": r"no option -x",
    "train ---": r"no option ---",
    "train --multirunn": r"no option --multirunn",
    "train --cfg": r"--cfg.*expected one argument",
    "train --cfg=x": r"invalid choice: 'x' \(choose from",
    "train --cfg yaml": r"invalid choice: 'yaml'",
    "train --info nothing": r"invalid choice: 'nothing'",
    "train --resolve": r"--resolve flag can only be used in conjunction with --cfg",
    "train --config-name": r"--config-name.*expected one argument",
    "train --config-name nothing": r"Cannot find primary config 'nothing'",
    "train --config-dir nothing": r"config directory .*nothing' not found",
    "train --config-path nothing": r"--config-path would hide nmt's own settings: add a folder with --config-dir",
    "train --config-path .": r"--config-path would hide nmt's own settings",
    "train --config-dir saved --config-name config": r"--config-name must begin with 'defaults: \[train, _self_\]'",
    "translate --config-dir saved --config-name config": r"must begin with 'defaults: \[translate, _self_\]'",
    "train --config-name translate checkpoints=[x]": r"no setting 'checkpoints' for nmt train",
    "train --shell-completion": r"Expecting one subcommand",
    # groups
    "train model=": r"model must be one of attention_2x512, .*, but is empty",
    "train model=null": r"model must be one of attention_2x512, .*, but is null",
    "train model=x": r"model must be one of attention_2x512, .*, but is 'x'",
    "train model=LSTM_TINY": r"model must be one of .*'LSTM_TINY'",
    "train model=3": r"model must be one of .*, but is 3",
    "train model=true": r"model must be one of .*, but is true",
    "train model=[lstm_tiny,lstm_2x512]": r"model must be one of .*, but is \[lstm_tiny,lstm_2x512\]",
    "train model={a:1}": r"model must be one of .*, but is \{a:1\}",
    "train +model=x": r"model must be one of attention_2x512",
    "train model=${seed}": r"resolving interpolation '\$\{seed\}'",
    "train data=null": r"data must be one of europarl_en_fr, files",
    "train data={a:1}": r"data must be one of europarl_en_fr, files",
    "prepare data=nothing": r"data must be one of europarl_en_fr, files, .*'nothing'",
    "prepare subword=BPE": r"subword must be one of bpe, char, token, unigram, word, but is 'BPE'",
    "train training.scheduled_sampling=linear": r"training\.sampling_slope must be above 0 for .*=linear, but is 0\.0",
    "train model.attention_dim=5": r"model\.attention_dim must be null without model\.attention, but is 5",
    "train optimizer=lion": r"optimizer must be one of adadelta, adagrad, adam, adamw, rmsprop, sgd",
    "train batching=words": r"batching must be one of sentences, tokens",
    "train training=defaul": r"training must be one of default, but is 'defaul'",
    "train experiment=nothing": r"experiment must be one of g2p, multi30k_en_de, .*quickstart",
    "train +experiment=nothing": r"experiment must be one of g2p, multi30k_en_de, .*quickstart",
    "train experiment=": r"experiment must be one of g2p, multi30k_en_de, .*, but is empty",
    "train experiment=3": r"experiment must be one of g2p, multi30k_en_de",
    "train experiment=null": r"experiment must be one of g2p, multi30k_en_de, .*, but is null",
    "train experiment=quickstart,multi30k_en_de": r"several values: write a list as 'KEY=\[a,b\]', or try each",
    "translate search=beam_3": r"search must be one of beam_12, beam_2, beam_5, greedy, but is 'beam_3'",
    "evaluate search=null": r"search must be one of beam_12",
    "train data.train=null": r"data\.train is a group of settings: set data\.train\.src, .*\.weights one by one",
    "train data.train=[a]": r"data\.train is a group of settings",
    "train data.train=a": r"data\.train is a group of settings",
    "train data.generate=3": r"data\.generate is a group of settings",
    "train optimizer.schedule=halving": r"optimizer\.schedule is a group of settings",
    "train optimizer.schedule=null": r"optimizer\.schedule is a group of settings",
    "translate search.length_penalty=wu2016": r"search\.length_penalty is a group of settings",
    "train hydra/launcher=joblb": r"hydra/launcher must be one of basic, .*, but is 'joblb'",
    "train hydra/sweeper=ax": r"hydra/sweeper must be one of basic, but is 'ax'",
    "train hydra/job_logging=nothing": r"hydra/job_logging must be one of .*stderr",
    "train hydra.mode=MULTIRUN": r"hydra\.mode is not for the command line: try several values with -m",
    "train hydra.mode=x": r"hydra\.mode is not for the command line",
    "train hydra.job_logging=null": r"hydra\.job_logging",
    "train hydra.run.dir=null": r"hydra\.run\.dir",
    "train hydra.callbacks=x": r"hydra\.callbacks",
    # types
    "train seed=[1]": r"seed must be a whole number, but is \[1\]",
    "train seed={a:1}": r"seed must be a whole number, but is \{a:1\}",
    "train seed=true": r"seed must be a whole number, but is true",
    "train seed=1.0": r"seed must be a whole number, but is 1\.0",
    "train seed=1e3": r"seed must be a whole number, but is 1e3",
    "train seed=0x10": r"seed must be a whole number, but is 0x10",
    "train seed=": r"seed must be a whole number, but is empty",
    "train seed=null": r"seed must be a whole number, but is null",
    "train seed=1 seed=x": r"seed must be a whole number, but is x",
    "train +seed=x": r"seed must be a whole number, but is x",
    "train ++seed=x": r"seed must be a whole number, but is x",
    f"train seed={'x' * 5000}": r"seed must be a whole number, but is x{80}…$",
    "train optimizer.lr=fast": r"optimizer\.lr must be a number, but is fast",
    "train optimizer.lr=0.1.2": r"optimizer\.lr must be a number, but is 0\.1\.2",
    "train optimizer.lr=[0.1]": r"optimizer\.lr must be a number, but is \[0\.1\]",
    "train optimizer.lr=true": r"optimizer\.lr must be a number, but is true",
    "train training.max_updates=1.5": r"training\.max_updates must be a whole number or null, but is 1\.5",
    "train training.max_epochs=many": r"training\.max_epochs must be a number or null, but is many",
    "train resume=2": r"resume must be true or false, but is 2",
    "train resume=1": r"resume must be true or false, but is 1",
    "train resume=0": r"resume must be true or false, but is 0",
    "train resume=1.5": r"resume must be true or false, but is 1\.5",
    "train resume=maybe": r"resume must be true or false, but is maybe",
    "train resume=null": r"resume must be true or false, but is null",
    "train resume=[true]": r"resume must be true or false, but is \[true\]",
    "train subword.joint=2": r"subword\.joint must be true or false, but is 2",
    "train subword.byte_fallback=-1": r"subword\.byte_fallback must be true or false, but is -1",
    "evaluate lowercase=2": r"lowercase must be true or false, but is 2",
    "evaluate json=x": r"json must be true or false, but is x",
    "evaluate by_length=3": r"by_length must be true or false, but is 3",
    "train device=gpu": r"device must be one of auto, cpu, cuda, but is gpu",
    "train device=CPU": r"device must be one of auto, cpu, cuda, but is CPU",
    "train device=": r"device must be one of auto, cpu, cuda, but is empty",
    "train device=[cpu]": r"device must be one of auto, cpu, cuda, but is \[cpu\]",
    "train device=null": r"device must be one of auto, cpu, cuda, but is null",
    "train optimizer.kind=lion": r"optimizer\.kind must be one of sgd, adam",
    "train optimizer.schedule.kind=null": r"optimizer\.schedule\.kind must be one of constant, halving",
    "train model.source_order=backward": r"model\.source_order must be one of reversed, forward",
    "train training.precision=fp16": r"training\.precision must be one of auto, fp32, bf16, but is fp16",
    "train training.best_by=loss": r"training\.best_by must be one of nats_per_token, bleu",
    "train training.loss_per=batch": r"training\.loss_per must be one of sentence, token",
    "train subword.kind=wordpiece": r"subword\.kind must be one of bpe, unigram, char, word",
    "train batching.unit=words": r"batching\.unit must be one of sentences, tokens",
    "train data.generate.generator=x": r"data\.generate\.generator must be one of phrasebook",
    "translate format=json": r"format must be one of text, jsonl, pharaoh, .*, but is json",
    "translate search.precision=fp16": r"search\.precision must be one of auto, fp32, bf16, int8",
    "translate search.ensemble_average=mean": r"search\.ensemble_average must be one of prob, log_prob",
    "train training.freeze_embeddings=all": r"training\.freeze_embeddings must be one of none, src, tgt, both",
    "evaluate paired_test=t": r"paired_test must be one of none, bootstrap, randomization",
    "train model.name=[a]": r"model\.name must be text, but is \[a\]",
    "train model.name=null": r"model\.name must be text, but is null",
    "train run_dir=null": r"run_dir must be text, but is null",
    "train data.dir=null": r"data\.dir must be text, but is null",
    "train data.src_lang=[a]": r"data\.src_lang must be text, but is \[a\]",
    "train data.train.src=null": r"data\.train\.src must be a list such as \[a,b\], but is null",
    "evaluate metrics=bleu": r"metrics must be a list such as \[a,b\], but is bleu",
    "evaluate metrics=null": r"metrics must be a list such as \[a,b\], but is null",
    "evaluate metrics={a:1}": r"metrics must be a list such as \[a,b\]",
    "evaluate hypothesis=null": r"hypothesis must be a list such as \[a,b\], but is null",
    "translate checkpoints=null": r"checkpoints must be a list such as \[a,b\], but is null",
    # what must be given
    "translate": r"checkpoints must be given, but is not",
    "translate input=a": r"checkpoints must be given",
    "prepare data=files": r"data\.dev\.src, .*, data\.train\.tgt must be given, but are not",
    "train data=files data.src_lang=en": r"data\.dev\.src, data\.dev\.tgt, data\.tgt_lang, .* must be given",
    "translate checkpoints=[]": r"checkpoints must name at least one checkpoint",
    "translate checkpoints=": r"checkpoints must name at least one checkpoint",
    "evaluate": r"hypothesis or checkpoints must be given, and not both; reference must name",
    "evaluate hypothesis=a": r"reference must name at least one file",
    "evaluate reference=a": r"hypothesis or checkpoints must be given",
    # ranges: `test_numbers_out_of_range` has all of them
    "train model.hidden_dim=0": r"model\.hidden_dim must be at least 1, but is 0",
    "train ++model.hidden_dim=0": r"model\.hidden_dim must be at least 1, but is 0",
    f"train model.hidden_dim={HUGE}": rf"model\.hidden_dim must be at most 100000, but is {HUGE}",
    "train training.accumulate=1000000000": r"training\.accumulate must be at most 10000, but is 1000000000",
    "train search.min_len=2147483648": r"search\.min_len must be at most 1000000, but is 2147483648",
    "train threads=1000000": r"threads must be at most 1024, but is 1000000",
    "train threads=0": r"threads must be at least 1, but is 0",
    "prepare threads=-1": r"threads must be at least 1, but is -1",
    f"prepare subword.seed={HUGE}": r"subword\.seed must be at least 0 and below 2\^31, but is 9{20}",
    f"prepare subword.vocab_size={HUGE}": r"subword\.vocab_size must be at most 10000000.*; subword\.src_vocab_size",
    "prepare data.generate.train_pairs=0": r"data\.generate\.train_pairs must be at least 1, but is 0",
    "prepare data.max_len_ratio=nan": r"data\.max_len_ratio must be at least 1, but is nan",
    "evaluate bootstrap_samples=1000000000000": r"bootstrap_samples must be at most 100000, but is 1000000000000",
    "evaluate search.beam_size=-5": r"search\.beam_size must be at least 1, but is -5",
    "evaluate threads=0": r"threads must be at least 1, but is 0",
    "translate checkpoints=x search.beam_size=0 threads=0": r"search\.beam_size must be .*; threads must be at least 1",
    "translate checkpoints=x search.window_lines=9223372036854775808": r"search\.window_lines must be at most 2147",
    # settings that contradict each other
    "train run_dir=": r"run_dir must name a folder, but is empty",
    "train training.max_epochs=null": r"one of training\.max_updates, max_epochs, .* must be set",
    "train training.best_by=bleu training.bleu_every=null": r"training\.best_by=bleu needs training\.bleu_every",
    "train search.n_best=2": r"search\.n_best must be at most search\.beam_size \(1\), but is 2",
    "train search.beam_size=600": r"search\.batch_rows must be at least search\.beam_size \(600\), but is 512",
    "train search.beam_size=9 search.n_best=10 run_dir=": r"run_dir must .*; search\.n_best must be at most",
    "prepare subword.src_model=a.subword": r"subword\.src_model and subword\.tgt_model must be given both or neither",
    "prepare data.dev.src=[]": r"data\.dev\.src and data\.dev\.tgt must each name at least one file",
    "prepare data.train.src=[a,a]": r"data\.train\.src and data\.train\.tgt must name equally many files",
    "evaluate hypothesis=a reference=a checkpoints=[x]": r"hypothesis or checkpoints must be given, and not both",
    "evaluate hypothesis=[a,a] reference=a": r"hypothesis names a file twice",
    "evaluate hypothesis=a reference=a by_length=true": r"by_length=true needs source=FILE",
    "evaluate hypothesis=a reference=a paired_test=bootstrap": r"paired_test=bootstrap needs two hypothesis files",
    "evaluate hypothesis=a reference=a metrics=[]": r"metrics must name some of bleu, chrf",
    "evaluate hypothesis=a reference=a metrics=[bleu,bleu]": r"metrics must name some of .*each once",
    "evaluate hypothesis=a reference=a metrics=[meteor]": r"metrics must name some of bleu, .*meteor",
    "evaluate hypothesis=a reference=a metrics=[null]": r"metrics",
    "evaluate hypothesis=a reference=a bootstrap_samples=1": r"bootstrap_samples must be 0 .*from 2 to .*is 1",
    "evaluate hypothesis=a reference=a output=x": r"output is the file for translations by checkpoints",
    "evaluate checkpoints=[{checkpoint}] source=a": r"checkpoints need source=FILE and reference=FILE",
    # interpolations
    "train seed=${seed}": r"seed: Recursive interpolation",
    "train seed=${nothing}": r"Interpolation key 'nothing' not found",
    "train seed=${threads}": r"seed: .*'\$\{threads\}'",
    "train threads=${seed}x": r"threads: .*'1x'",
    "train seed=${..x}": r"Error resolving key '\.\.x'",
    "train run_dir=${run_dir}": r"run_dir: Recursive interpolation",
    "train run_dir=${oc.env:NOTHING_SET}": r"run_dir: .*'NOTHING_SET' not found",
    "train run_dir=${nothing:x}": r"run_dir: Unsupported interpolation type nothing",
    "train model.hidden_dim=${model.embedding_dim} model.embedding_dim=${model.hidden_dim}": r"model\.\w+: Recursive",
    "train subword.vocab_size=${subword.vocab_size}": r"subword\.\w+: Recursive interpolation",
    "translate checkpoints=[x] search.beam_size=${search.beam_size}": r"search\.beam_size: Recursive interpolation",
    "evaluate hypothesis=${oc.env:NOTHING_SET}": r"hypothesis.*'NOTHING_SET' not found",
    # sweeps
    "train seed=1,2": r"'seed=1,2' has several values: .* try each value with -m",
    "train seed=range(1,3)": r"several values",
    "train seed=choice(1,2)": r"several values",
    "train -m seed=range(1,100000000)": r"a sweep must have at most 1,000 jobs",
    "train -m seed=range(1,40) threads=range(1,40)": r"a sweep must have at most 1,000 jobs",
    "train -m optimizer.lr=range(0.1,0.2,0.0000001)": r"a sweep must have at most 1,000 jobs",
    "train -m seed=range(1,3,0)": r"a sweep must have at most 1,000 jobs",
    "train -m seed=range(0,inf)": r"a sweep must have at most 1,000 jobs",
    "evaluate -m bootstrap_samples=range(0,1001)": r"a sweep must have at most 1,000 jobs",
    "train -m seed=range(3,1)": r"'seed=range\(3,1\)' names no values to try",
    "train -m seed=interval(1,2)": r"names no values to try: list them, as in seed=1,2",
    "train -m seed=glob(*)": r"names no values to try",
    "train -m model=glob(x*)": r"names no values to try",
    "train -m seed=1,": r"is not a valid KEY=VALUE",
    "train -m seed=,": r"is not a valid KEY=VALUE",
    "train -m seed=choice()": r"'seed=choice\(\)': .*empty choice",
    "train -m seed=tag(a)": r"'seed=tag\(a\)': .*must be a choice",
    "train -m seed=1,x": r"seed must be a whole number, but is 1,x",
    "train -m seed=1,2,-1": r"seed must be at least 0 and below 2\^64, but is -1",
    "train -m resume=true,2": r"resume must be true or false, but is true,2",
    "train -m model=lstm_tiny,null": r"model must be one of .*, but is lstm_tiny,null",
    "train -m model=lstm_tiny,nothing": r"model must be one of .*'nothing'",
    "train -m experiment=quickstart,nothing": r"experiment must be one of .*'nothing'",
    "train -m nothing=1,2": r"no setting 'nothing'",
    "train -m model.hidden_dim=8,16": r"2 jobs of this sweep would share the run directory",
    "train -m seed=1,2 run_dir=x": r"2 jobs of this sweep would share the run directory .*x",
    "train --multirun --multirun seed=1,1": r"2 jobs of this sweep would share",
    "train -m seed=1,2 run_dir=loop": r"2 jobs of this sweep would share",
    "train -m seed=1,2 foo": r"'foo' is not a setting",
    "translate -m search.beam_size=1,2": r"2 jobs of this sweep would read stdin",
    # files
    "evaluate hypothesis=nothing reference=a": r"nothing does not exist: check the path",
    "evaluate hypothesis=a reference=nothing": r"nothing does not exist",
    "evaluate hypothesis=a reference=[a,nothing]": r"nothing does not exist",
    "evaluate hypothesis=[a,nothing] reference=a": r"nothing does not exist",
    "evaluate hypothesis=nothing,a reference=a": r"nothing does not exist",
    "evaluate hypothesis=folder reference=a": r"folder must be a text file, but is a directory",
    "evaluate hypothesis=a/b reference=a": r"a/b cannot be read: Not a directory",
    "evaluate hypothesis=loop reference=a": r"loop cannot be read: Too many levels of symbolic links",
    "evaluate hypothesis=dangling reference=a": r"dangling does not exist",
    "evaluate hypothesis=three reference=a": r"three",
    "evaluate hypothesis=a reference=three": r"three",
    "evaluate hypothesis=empty reference=a": r"empty",
    "evaluate hypothesis=empty reference=empty": r".",
    "evaluate hypothesis=latin1 reference=a": r"latin1, line 1, byte 1: must be UTF-8",
    "evaluate hypothesis=cut.gz reference=a": r"cut\.gz",
    "evaluate hypothesis=a reference=a groups=nothing": r"nothing does not exist",
    "evaluate hypothesis=a reference=a groups=three": r"three and a must have equally many lines",
    "evaluate hypothesis=a reference=a source=three by_length=true": r"three and a must have equally many lines",
    f"evaluate hypothesis={BAD_BYTE} reference=a": r"a\\udcffb does not exist",
    "evaluate hypothesis=[a\nb] reference=a": r"a b does not exist",
    f"evaluate hypothesis={'x' * 5000} reference=a": r"x cannot be read: File name too long",
    "evaluate checkpoints=[nothing]": r"nothing does not exist: name a checkpoint such as RUN_DIR/checkpoints/best",
    "translate checkpoints=[nothing]": r"nothing does not exist: name a checkpoint such as RUN_DIR/checkpoints/best",
    "translate checkpoints=nothing,{checkpoint}": r"nothing does not exist",
    "translate checkpoints=a": r"a must be the folder of a checkpoint, but is a file",
    "translate checkpoints=folder": r"folder is not a checkpoint",
    "translate checkpoints=loop": r"loop",
    f"translate checkpoints={'x' * 5000}": r"File name too long: give a shorter name",
    f"translate checkpoints={BAD_BYTE}": r"a\\udcffb does not exist",
    "translate checkpoints={run}": r"is not a checkpoint, but contains some: name one of them",
    "translate checkpoints={run}/checkpoints": r"is not a checkpoint, but contains some",
    "translate checkpoints={run}/config.yaml": r"config\.yaml",
    "translate checkpoints={checkpoint} input=nothing": r"nothing does not exist",
    "translate checkpoints={checkpoint} input=folder": r"folder must be a text file, but is a directory",
    "translate checkpoints={checkpoint} input=loop": r"loop",
    "translate checkpoints={checkpoint} input=latin1": r"latin1, line 1, byte 1: must be UTF-8",
    "translate checkpoints={checkpoint} output=folder": r"folder",
    "translate checkpoints={checkpoint} output=nothing/out": r"nothing/out",
    "translate checkpoints={checkpoint} output=a/out": r"Not a directory",
    "translate checkpoints={checkpoint} input=a output=a": r"output=a .*name another",
    "translate checkpoints={checkpoint} device=cuda": r"device=cuda needs a GPU",
    "train run_dir=a": r"^nmt: run_dir must be a folder, but a is a file$",
    "train run_dir=a/b": r"^nmt: run_dir must be a folder, but a is a file$",
    "train run_dir=loop": r"loop must be writable, but is not .*name another run_dir",
    "train run_dir=loop/x": r"loop/x must be writable, but is not \(Too many levels of symbolic links\)",
    f"train run_dir={'x' * 5000}": r"File name too long",
    "train run_dir={run}": r"already holds a run: add resume=true to continue it, or name another run_dir",
    "prepare data.dir=a": r"a must be writable, but is not .*name another data\.dir",
    "prepare data.dir=loop": r"loop must be writable, but is not .*name another data\.dir",
    "prepare data.dir=theirs data.generate.train_pairs=9": r"theirs holds text that nmt did not write",
    "prepare data=multi30k_en_de": r"data/multi30k/train\.en\.gz, .* do not exist",
    "prepare {digits} data.train.src=nothing": r"nothing does not exist",
    "prepare {digits} data.prepared_dir=a": r"a must be writable, but is not .*name another data\.prepared_dir",
    "prepare {digits} subword.src_model=a subword.tgt_model=a": r"a must be a subword model",
    "prepare {digits} subword.src_model=nothing subword.tgt_model=a": r"subword model nothing cannot be read",
    # nmt embeddings
    "average": r"checkpoints, output must be given, but are not \(--help shows all",
    "average output=new": r"checkpoints must be given, but is not \(--help shows all",
    "average checkpoints=[{checkpoint}]": r"output must be given, but is not \(--help shows all",
    "average checkpoints=[] output=new": r"checkpoints must name at least one checkpoint: 'checkpoints=\[RUN_DIR",
    "average checkpoints=null output=new": r"checkpoints must be a list such as \[a,b\], but is null",
    "average checkpoints=[a output=new": r"the list is not closed: add \]",
    "average checkpoint={checkpoint} output=new": r"no setting 'checkpoint' for nmt average: did you mean checkpoints",
    "average checkpoints=[nothing] output=new": r"nothing does not exist: name a checkpoint such as",
    "average checkpoints=[{checkpoint},nothing] output=new": r"nothing does not exist: name a checkpoint such as",
    "average checkpoints=[folder] output=new": r"folder is not a checkpoint: it has no checkpoint\.json; name",
    "average checkpoints=[saved] output=new": r"saved is not a checkpoint: it has no checkpoint\.json; name",
    "average checkpoints=[a] output=new": r"a must be the folder of a checkpoint, but is a file: name",
    "average checkpoints=[{run}] output=new": r"is not a checkpoint, but contains some: name one of them, such as",
    "average checkpoints=[{checkpoint}] output=": r"output= must be a new or an empty folder: name another one",
    "average checkpoints=[{checkpoint}] output=null": r"output must be text, but is null",
    "average checkpoints=[{checkpoint}] output=a": r"output=a must be a new or an empty folder: name another one",
    "average checkpoints=[{checkpoint}] output=saved": r"output=saved must be a new or an empty folder: name another",
    "average checkpoints=[{checkpoint}] output=no/new": r"output=no/new is in a folder that does not exist: make it",
    "average checkpoints=[{checkpoint}] output={checkpoint}": r"must be a new or an empty folder: name another one",
    "average checkpoints=[{checkpoint}] output={run}/checkpoints/x": r"belongs to the run .*, which it would damage",
    "average checkpoints=[{checkpoint}] output=new run_dir=x": r"no setting 'run_dir' for nmt average",
    "average -m checkpoints=[{checkpoint}],[nothing] output=new": r"2 jobs of this sweep would write .*/new",
    "embeddings": r"one of checkpoint, corpus and vectors must be given, and only one; neighbours, analogies or output",
    "embeddings checkpoint=a corpus=b output=c": r"one of checkpoint, corpus and vectors must be given, and only one",
    "embeddings checkpoint={checkpoint}": r"neighbours, analogies or output must be given: say what to do with the v",
    "embeddings checkpoints=[a]": r"no setting 'checkpoints' for nmt embeddings: did you mean checkpoint\?",
    "embeddings neighbors=[a]": r"no setting 'neighbors' for nmt embeddings: did you mean neighbours\?",
    "embeddings data=phrasebook": r"no setting 'data' for nmt embeddings",
    "embeddings method=glove": r"method must be one of skip_gram, cbow, but is glove",
    "embeddings side=both": r"side must be one of src, tgt, but is both",
    "embeddings format=jsonl": r"format must be one of text, binary, but is jsonl",
    "embeddings neighbours=null": r"neighbours must be a list such as \[a,b\], but is null",
    "embeddings neighbours=[a": r"the list is not closed: add \]",
    "embeddings threads=null": r"threads must be a whole number, but is null",
    "embeddings k=0 dim=0 threads=0": r"k must be at least 1, but is 0; dim must be at least 1.*; threads must be at l",
    f"embeddings window=0 epochs=0 seed={HUGE}": r"window must be at least 1.*; epochs must be .*; seed must be at lea",
    "embeddings vectors=a analogies=[a:b,c]": r"an analogy must have the form man:king::woman, but is 'a:b'; an anal",
    "embeddings checkpoint={checkpoint} neighbours=[eleven]": r"has no vector of 'eleven': name words that are a",
    "embeddings checkpoint={checkpoint} analogies=[x:one::y]": r"best \(src\) has no vector of 'x', 'y': name words",
    "embeddings checkpoint=nothing neighbours=[a]": r"nothing",
    "embeddings checkpoint={checkpoint} output=folder": r"output=folder must be a file, but is a directory",
    "embeddings checkpoint={checkpoint} output={checkpoint}/a": r"belongs to the checkpoint .*, which it would damage",
    "embeddings corpus=nothing neighbours=[a]": r"nothing is not a prepared corpus",
    "embeddings corpus=folder neighbours=[a]": r"folder is not a prepared corpus",
    "embeddings vectors=a output=a": r"output=a is vectors=a, which this command reads and would overwrite",
    "embeddings vectors=nothing output=b": r"nothing must be a file of word vectors .*\(No such file or directory\)",
    "embeddings vectors=folder output=b": r"folder must be a file of word vectors .*\(Is a directory\)",
    "embeddings vectors=a output=b": r"a must be a file of word vectors .*its first two lines are something else",
    "embeddings vectors=cut.gz output=b": r"cut\.gz must be a file of word vectors",
    "embeddings -m vectors=a k=1,2 output=b": r"2 jobs of this sweep would write .*/b",
    "embeddings -m vectors=a k=1 output=a": r"vectors=a is the output of a job of this sweep",
    "report": r"runs or hypothesis must be given: runs=\[RUN_DIR\]",
    "report runs=[]": r"runs or hypothesis must be given: runs=\[RUN_DIR\]",
    "report runs=null": r"runs must be a list such as \[a,b\], but is null",
    "report runs=[nothing]": r"nothing/checkpoints/best does not exist: name a checkpoint",
    "report runs=[folder]": r"folder/checkpoints/best does not exist: name a checkpoint",
    "report runs=[saved]": r"saved/checkpoints/best does not exist: name a checkpoint such",
    "report runs=[{run},{run}]": r"runs and hypothesis name something twice",
    "report runs=[{run}] source=nothing reference=[a]": r"nothing does not exist: check the path",
    "report runs=[{run}] source=a reference=[three]": r"a and three must have equally many lines, but have 2 and 3:",
    "report runs=[{run}] source=latin1 reference=[a]": r"latin1, line 1, byte 1: must be UTF-8, but is 0xe9: convert",
    "report runs=[{run}] reference=[a]": r"source=FILE and reference=FILE belong together; of runs, both",
    "report runs=[{run}] source=a": r"source=FILE and reference=FILE belong together; of runs, both",
    "report runs=[{run}] source=a reference=[a] metrics=[]": r"metrics must name some of bleu, chrf",
    "report runs=[{run}] source=a reference=[a] metrics=[meteor]": r"metrics must name some of bleu, chrf",
    "report runs=[{run}] source=a reference=[a] output=a": r"output=a is source=a, which this command reads and would",
    "report runs=[{run}] source=a reference=[a] output=folder": r"output=folder must be a file, but is a directory:",
    "report runs=[{run}] source=a reference=[a] output={run}/config.yaml": r"which it would damage: name another file",
    "report runs=[{run}] source=a reference=[a] hypothesis=[nothing]": r"nothing does not exist: check the path",
    "report runs=[{run}] source=a reference=[a] hypothesis=[three]": r"three and the reference must have equally many",
    "report runs=[{run}] source=a reference=[a] bootstrap_samples=1": r"bootstrap_samples must be 0 \(no interval\)",
    "report runs=[{run}] source=a reference=[a] phrases=nothing": r"nothing does not exist: check the path",
    "report runs=[{run}] source=a reference=[a] phrases=a": r"a, line 1: must be a plane, a group and a phrase, with",
    "report runs=[{run}] examples=-1": r"examples must be at least 0, but is -1",
    "report runs=[{run}] example_order=random": r"example_order must be one of difference, length, but is random",
    "report runs=[{run}] bootstrap_samples=1000000000000": r"bootstrap_samples must be at most 100000, but is",
    "report runs=[{run}] doctor=maybe": r"doctor must be true or false, but is maybe",
    "report runs=[{run}] ensemble=maybe": r"ensemble must be true or false, but is maybe",
    "report runs=[{run}] examplez=3": r"there is no setting 'examplez' for nmt report: did you mean",
    "report runs=[{run}] search=beam_6": r"search must be one of beam_12, beam_2, beam_5, greedy, but is",
    "report runs=[{run}] search.beam_size=0": r"search\.beam_size must be at least 1, but is 0",
    "report runs=[{run}] threads=0": r"threads must be at least 1, but is 0",
    "report runs=[{run}] paired_test=t": r"paired_test must be one of none, bootstrap, randomization,",
    "card": r"run_dir or checkpoint must be given: say which model the card",
    "card run_dir=nothing": r"nothing/checkpoints/best does not exist: name a checkpoint",
    "card run_dir=folder": r"folder/checkpoints/best does not exist: name a checkpoint",
    "card run_dir=saved": r"saved/checkpoints/best does not exist: name a checkpoint such",
    "card run_dir=a": r"a/checkpoints/best does not exist: name a checkpoint such as",
    "card run_dir=": r"checkpoints/best does not exist: name a checkpoint such as",
    "card checkpoint=nothing": r"nothing does not exist: name a checkpoint such as",
    "card checkpoint=folder": r"folder is not a checkpoint: it has no checkpoint\.json; name",
    "card checkpoint=a": r"a must be the folder of a checkpoint, but is a file: name",
    "card checkpoint=": r"\. is not a checkpoint: it has no checkpoint\.json; name one",
    "card run_dir={run} scores=[nothing]": r"nothing does not exist: write it by nmt evaluate json=true",
    "card run_dir={run} scores=[a]": r"a must be what nmt evaluate json=true prints for one system",
    "card run_dir={run} scores=[empty]": r"empty must be what nmt evaluate json=true prints",
    "card run_dir={run} scores=[folder]": r"folder must be what .* \(not a regular file\)",
    "card run_dir={run} scores=[latin1]": r"latin1 must be what .* \(not UTF-8 at byte 0\)",
    "card run_dir={run} scores=null": r"scores must be a list such as \[a,b\], but is null",
    "card run_dir={run} output=folder": r"output=folder must be a file, but is a directory: name a file",
    "card run_dir={run} output={run}/config.yaml": r"which it would damage: name another file",
    "card run_dir={run} output={checkpoint}/model.safetensors": r"which it would damage: name another file",
    "card run_dir={run} scores=[a] output=a": r"output=a is scores=a, which this command reads and would",
    "card run_dir={run} replace=maybe": r"replace must be true or false, but is maybe",
    "card run_dir={run} licence=mit": r"there is no setting 'licence' for nmt card: did you mean",
    "card run_dir={run} datasets=null": r"datasets must be a list such as \[a,b\], but is null",
    "card run_dir={run} datasets={a:1}": r"datasets must be a list such as \[a,b\], but is \{a:1\}",
    "card run_dir=dangling": r"dangling/checkpoints/best does not exist: name a checkpoint",
    "card rundir={run}": r"there is no setting 'rundir' for nmt card: did you mean",
    "card run_dir": r"'run_dir' is not a setting: write KEY=VALUE",
    "verify": r"checkpoint must be given, but is not \(--help shows all",
    "verify checkpoint=": r"\. is not a checkpoint: it has no checkpoint\.json; name one",
    "verify checkpoint=nothing": r"nothing does not exist: name a checkpoint such as",
    "verify checkpoint=folder": r"folder is not a checkpoint: it has no checkpoint\.json; name",
    "verify checkpoint=saved": r"saved is not a checkpoint: it has no checkpoint\.json; name",
    "verify checkpoint=a": r"a must be the folder of a checkpoint, but is a file: name",
    "verify checkpoint=empty": r"empty must be the folder of a checkpoint, but is a file: name",
    "verify checkpoint=dangling": r"which does not exist: if it is a copy, copy what it links to",
    "verify checkpoint=null": r"checkpoint must be text, but is null",
    "verify checkpoint=[x]": r"\[x\] does not exist: name a checkpoint such as",
    "verify checkpoint={run}": r"is not a checkpoint, but contains some: name one of them,",
    "verify checkpoints=[x]": r"there is no setting 'checkpoints' for nmt verify: did you",
    "verify chkpoint=x": r"there is no setting 'chkpoint' for nmt verify: did you mean",
    "verify checkpoint={checkpoint} precision=fp16": r"precision must be one of auto, fp32, bf16, int8, but is fp16",
    "verify checkpoint={checkpoint} precision=null": r"precision must be one of auto, fp32, bf16, int8, but is null",
    "verify checkpoint={checkpoint} precision=int8 implementation=reference": r"search\.precision=int8 needs",
    "verify checkpoint={checkpoint} device=tpu": r"device must be one of auto, cpu, cuda, but is tpu",
    "verify checkpoint={checkpoint} threads=0": r"threads must be at least 1, but is 0",
    "verify checkpoint={checkpoint} threads=x": r"threads must be a whole number or null, but is x",
    "verify checkpoint={checkpoint} threads=100000": r"threads must be at most 1024, but is 100000",
    "verify checkpoint={checkpoint} implementation=slow": r"implementation must be one of fast, reference, but is slow",
    "verify checkpoint={checkpoint} search.beam_size=5": r"there is no setting 'search\.beam_size' for nmt verify",
    "verify checkpoint={checkpoint} output=a": r"there is no setting 'output' for nmt verify \(--help shows all\)",
    "verify checkpoint": r"'checkpoint' is not a setting: write KEY=VALUE",
    "verify checkpoint=a,b": r"a,b does not exist: name a checkpoint such as",
    # nmt doctor
    "doctor checkpoints=[a]": r"there is no setting 'checkpoints' for nmt doctor",
    "doctor debug=overfit": r"there is no setting 'debug' for nmt doctor",
    "doctor fail_on=ok": r"fail_on must be one of none, notice, warning, but is ok",
    "doctor updates=-1 overfit_updates=-1": r"updates must be at least 0, but is -1; overfit_updates must b",
    "doctor model=x": r"model must be one of attention_2x512,",
    "doctor model.dropout=0.1": r"^nmt: model\.dropout needs a model: add model=NAME$",
    "doctor data=multi30k_en_de": r"data/multi30k/train\.en\.gz, .* do not exist",
    "doctor {digits} output=folder": r"output=folder must be a file, but is a directory",
    "doctor {digits} output=nothing/out": r"nothing/out",
    "doctor {digits} output={checkpoint}/a": r"belongs to the checkpoint .*, which it would damage",
    "doctor {digits} data.dev.tgt=nothing": r"nothing does not exist",
    "doctor {digits} data.columns=[1]": r"data\.columns must be the numbers of two columns",
    "doctor {digits} subword.src_model=a": r"subword\.src_model and subword\.tgt_model must be given both or neither",
    "doctor {digits} model=lstm_tiny training.max_epochs=null": r"one of training\.max_updates, max_epochs",
    "doctor {digits} model=lstm_tiny device=cuda": r"device=cuda needs a GPU",
    "doctor {digits} model=lstm_tiny model.tied_embeddings=both": r"tied_embeddings=both needs one vocabulary",
    "doctor {digits} model=lstm_tiny model.hidden_dim=0": r"model\.hidden_dim must be at least 1, but is 0",
    "doctor json=1": r"json must be true or false, but is 1",
    "doctor fail=warning": r"there is no setting 'fail' for nmt doctor: did you mean fail_on\?",
    "doctor {digits} model=lstm_tiny model.name=a/b": r"model\.name must be usable in a file name",
    "doctor -m {digits} seed=1,2 output=b": r"2 jobs of this sweep would write .*/b",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files that command lines may name; nothing may be written to it."""
    root = tmp_path_factory.mktemp("folder")
    (root / "a").write_text("one two\nthree\n")
    (root / "three").write_text("one\ntwo\nthree\n")
    (root / "empty").write_text("")
    (root / "latin1").write_bytes("été\n".encode("latin-1"))
    (root / "cut.gz").write_bytes(b"\x1f\x8b\x08\x00\x00")
    (root / "folder").mkdir()
    (root / "loop").symlink_to("loop")
    (root / "dangling").symlink_to("nowhere")
    (root / "theirs").mkdir()
    (root / "theirs" / "train.en").write_text("theirs\n")
    (root / "saved").mkdir()
    (root / "saved" / "config.yaml").write_text("seed: 1\n")
    return root


def listing(folder: Path) -> set[str]:
    """List the files, without empty folders and locks, which are harmless."""
    files = (path for path in folder.rglob("*") if not path.is_dir() and not path.name.endswith(".lock"))
    return {str(path.relative_to(folder)) for path in files}


@pytest.mark.parametrize(
    "line",
    [line if "checkpoint" in line else pytest.param(line, marks=pytest.mark.no_tensors) for line in COMMAND_LINES],
    ids=lambda line: line[:60].encode("unicode_escape").decode(),
)
def test_bad_input_is_one_line(
    line: str,
    folder: Path,
    digits_settings: list[str],
    run_dir: Path,
    checkpoint: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setattr(train, "prepare", lambda *_: pytest.fail("training has begun"))
    before = listing(folder)
    words: list[str] = []
    for word in line.split(" "):
        words += digits_settings if word == "{digits}" else [_filled(word, checkpoint=checkpoint, run=run_dir)]
    message = error(*words)
    assert re.search(COMMAND_LINES[line], message), message
    assert message.startswith("nmt: ")
    assert listing(folder) <= before


def _filled(word: str, *, checkpoint: Path, run: Path) -> str:
    return word.replace("{checkpoint}", str(checkpoint)).replace("{run}", str(run))


@pytest.fixture(scope="module")
def digits_settings(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return [*data_settings(digits), f"data.prepared_dir={tmp_path_factory.mktemp('prepared')}"]


def test_every_command_is_tried() -> None:
    commands = [line.split()[0] for line in COMMAND_LINES]
    assert {command: commands.count(command) >= 20 for command in SCHEMAS} == dict.fromkeys(SCHEMAS, True)
    assert len(COMMAND_LINES) >= 200


# --- every number ---


def numbers_of(command: str) -> dict[str, tuple[type, Range]]:
    kinds = {
        key: (without_none(declared.kind), declared.range) for key, declared in settings_of(SCHEMAS[command]).items()
    }
    return {key: (kind, range_) for key, (kind, range_) in kinds.items() if kind in (int, float) and range_ is not None}


def too_small(_: type, range_: Range) -> str | None:
    return str(range_.above if range_.at_least is None else range_.at_least - 1)


def too_large(_: type, range_: Range) -> str | None:
    if range_.upper == inf:
        return "inf" if range_.below == inf else None
    return str(range_.upper if range_.upper == range_.below else range_.upper + 1)


def huge(_: type, range_: Range) -> str | None:
    return HUGE if range_.upper < inf else None


def not_a_number(kind: type, _: Range) -> str | None:
    return "nan" if kind is float else None


@pytest.mark.no_tensors
@pytest.mark.parametrize("choose", [too_small, too_large, huge, not_a_number])
@pytest.mark.parametrize("command", ["train", "translate", "evaluate"])
def test_every_number_out_of_range_is_named(command: str, choose: Callable[[type, Range], str | None]) -> None:
    values = {key: value for key, number in numbers_of(command).items() if (value := choose(*number)) is not None}
    others = ["checkpoints=[x]"] if command == "translate" else []
    message = error(command, *others, *(f"{key}={value}" for key, value in values.items()))
    for key in values:
        assert re.search(rf" {re.escape(key)} must be (at|above) [^;]+, but is [^;]+", message), (key, message)
    assert message.count(" must be ") == len(values)


@pytest.mark.no_tensors
@pytest.mark.parametrize("key", [*numbers_of("train"), "bootstrap_samples"])
def test_every_number_that_is_a_word_is_named(key: str) -> None:
    command = "evaluate" if key in numbers_of("evaluate") else "train"
    assert re.match(
        rf"nmt: {re.escape(key)} must be a (whole )?number( or null)?, but is many$", error(command, f"{key}=many")
    )
