#!/usr/bin/env bash
# Installs what taskgalaxy needs and builds it; called by jobs/demo.sh and tests/run.sh, harmless to call again.
#   jobs/setup.sh deps          Debian packages (when root; else a list of what is missing) and libtorch under .deps/
#   jobs/setup.sh peers         the Python packages that fixtures and benchmarks compare with, under .deps/peers
#   jobs/setup.sh build [PRESET]   deps, then configure and build (default preset: release)
# TASKGALAXY_DEPS=FOLDER keeps the downloads outside the clone, for many clones to share.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"

torch_version=2.11.0
packages=(g++ cmake ninja-build pkg-config openmpi-bin libopenmpi-dev libhdf5-openmpi-dev hdf5-tools
  libboost-program-options-dev libgtest-dev libgmock-dev nlohmann-json3-dev libspdlog-dev libfmt-dev
  libturbojpeg0-dev libjpeg62-turbo-dev libpng-dev libwebp-dev libgif-dev libarchive-dev libsentencepiece-dev
  libpcre2-dev libicu-dev libcurl4-openssl-dev libcpp-httplib-dev libssl-dev libxxhash-dev tuxpaint-stamps-default)

say() { printf '== %s\n' "$*"; }

missing_packages() {
  local package
  for package in "${packages[@]}"; do
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || printf '%s\n' "$package"
  done
}

install_packages() {
  local missing
  mapfile -t missing < <(missing_packages)
  [ ${#missing[@]} -eq 0 ] && return
  if [ "$(id -u)" -ne 0 ]; then
    printf 'Missing Debian packages; ask an administrator for, or install in a container:\n  apt-get install %s\n' \
      "${missing[*]}" >&2
    printf 'On a cluster with modules: docs/install.md\n' >&2
    exit 3
  fi
  say "installing ${#missing[@]} Debian packages"
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

# pip into a folder, not into the system; a stamp is written last, so that an interrupted download is done again.
pip_into() {
  local folder=$1 stamp=$1/.installed-$2
  shift 2
  [ -e "$stamp" ] && return
  say "installing $* under ${folder#"$root"/}"
  python3 -m pip --version >/dev/null 2>&1 ||
    { echo "Python's pip is missing: apt-get install python3-pip" >&2; exit 3; }
  mkdir -p "$folder"
  python3 -m pip install -q --disable-pip-version-check --root-user-action=ignore --upgrade --target "$folder" "$@"
  touch "$stamp"
}

deps() {
  install_packages
  if [ -n "${TASKGALAXY_DEPS:-}" ] && [ ! -e .deps ]; then
    mkdir -p "$TASKGALAXY_DEPS"
    ln -s "$TASKGALAXY_DEPS" .deps
  fi
  [ -n "${TORCH_DIR:-}" ] || pip_into "$root/.deps/python" "torch-$torch_version" "torch==$torch_version"
}

# Versions are those the fixtures and parity figures were made with. --no-deps keeps a second torch out.
peers() {
  pip_into "$root/.deps/peers" peers-3 --no-deps anyio==4.16.0 certifi==2026.10.18 click==8.5.1 h11==0.16.0 \
    h5py==3.16.0 hf_xet==1.8.0 httpcore2==2.16.2 httpx2==2.16.2 huggingface_hub==2.4.0 idna==3.20 numpy==2.4.6 \
    packaging==26.3 \
    pillow==13.0.0 protobuf==7.36.2 pyyaml==6.0.3 regex==2026.11.15 requests==2.34.2 rich==15.0.0 safetensors==0.8.0 \
    sentencepiece==0.2.3 shellingham==1.5.4 sniffio==1.3.1 tokenizers==0.23.3 tqdm==4.70.1 transformers==5.23.0 \
    truststore==0.10.5 typer==0.29.2
  pip_into "$root/.deps/peers-training" peers-training-1 --no-deps absl-py==2.5.1 accelerate==1.15.0 \
    peft==0.21.2 psutil==7.2.2 tensorboard==2.21.0
}

build() {
  local preset=${1:-release}
  say "building ($preset)"
  cmake --preset "$preset" ${TORCH_DIR:+-DTORCH_DIR="$TORCH_DIR"} >"/tmp/taskgalaxy-configure-$$.log" 2>&1 ||
    { tail -n 20 "/tmp/taskgalaxy-configure-$$.log" >&2; exit 1; }
  rm -f "/tmp/taskgalaxy-configure-$$.log"
  cmake --build --preset "$preset" -- --quiet
}

case ${1:-build} in
  deps) deps ;;
  peers) deps; peers ;;
  build) deps; build "${2:-release}" ;;
  *) sed -n '2,7s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 2 ;;
esac
