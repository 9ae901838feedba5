# shellcheck shell=bash
# Sourced by the fetch_* scripts: downloads that resume after an interruption and are checked before they are used.
#
#   NMT_MIRROR      base address that replaces every publisher's: $NMT_MIRROR/www.statmt.org/wmt14/dev.tgz
#   NMT_CHECKSUMS   table that replaces scripts/checksums.txt (for a mirror with other files)
#   PYTHON          interpreter for unpacking (standard library only)
set -euo pipefail
shopt -s inherit_errexit 2>/dev/null || true # bash 4.4 or newer

scripts=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
attempts=5

say() { echo "$program: $*" >&2; }
die() { say "$@"; exit 1; }

# begin CORPUS [FOLDER]: set $corpus, $folder (data/CORPUS of the checkout by default) and $downloads.
begin() {
  program=$(basename "$0")
  corpus=$1
  case ${2:-} in
    -h | --help)
      sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"
      exit
      ;;
    -*) die "the argument must be a folder, but is $2" ;;
  esac
  folder=${2:-$(dirname "$scripts")/data/$corpus}
  downloads=$folder/downloads
  command -v curl >/dev/null || die "curl is needed: install it"
  command -v "${PYTHON:-python3}" >/dev/null || die "${PYTHON:-python3} is needed: install Python 3.11 or set PYTHON"
  mkdir -p "$downloads" || die "$folder is not writable: name another folder as argument"
  say "placing $corpus in $folder"
}

# files COMMAND...: check, unpack or split files.
files() { "${PYTHON:-python3}" "$scripts/corpus_files.py" "$@"; }

# placed NAME...: true if every NAME.gz is in $folder.
placed() {
  local name
  for name in "$@"; do
    [[ -f $folder/$name.gz ]] || return 1
  done
}

# fetch URL: download it to $downloads, resuming an interrupted download, and check it.
fetch() {
  local url=$1 file=$downloads/${1##*/}
  if [[ -e $file ]]; then
    files verify "$file" --corpus "$corpus"
    return
  fi
  if [[ -n ${NMT_MIRROR:-} ]]; then
    url=${NMT_MIRROR%/}/${url#*://}
  fi
  download "$url" "$file.part"
  files accept "$file.part" --corpus "$corpus"
}

download() {
  local url=$1 part=$2 attempt status progress=--silent
  [[ ! -t 2 ]] || progress=--progress-bar
  for ((attempt = 1; attempt <= attempts; attempt++)); do
    if [[ -s $part ]]; then
      say "resuming $url at byte $(wc -c <"$part" | tr -d ' ')"
    else
      say "downloading $url"
    fi
    status=0
    curl --fail --location "$progress" --show-error --continue-at - --output "$part" \
      --connect-timeout 30 --speed-limit 1 --speed-time 60 "$url" || status=$?
    case $status in
      0) return ;;
      22) die "the server refuses $url (see above): if it has moved, set NMT_MIRROR" ;;
      33) # the server cannot resume
        say "the server does not support resuming: starting $url again"
        rm -f "$part"
        ;;
    esac
    ((attempt == attempts)) || sleep "${NMT_RETRY_WAIT_S:-3}"
  done
  die "$url failed in $attempts attempts (curl: exit status $status): run again to resume from what was received"
}
