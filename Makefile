# The front door. `make help` lists what there is.
#
#   PROFILE  settings of the experiments: paper (default), quick, smoke
#   DATA     folder that holds the datasets by id
#   DEVICE   auto (default), flex
#   FILTER   cells to keep, e.g. FILTER='model=dyglnet,dataset=kvasir*'
#   TABLE    experiments of `make report` (default: table2)
#   JOBS     cells at once (default: what the profile says)
#   STORE    folder of results (default: .dygl)
#   VENV     folder of a Python environment, for bench

PROFILE ?= paper
DEVICE  ?= auto
STORE   ?= .dygl
OUT     ?= reports/out

TARGET  := $(or $(CARGO_TARGET_DIR),target)
DYGL    := $(TARGET)/debug/dygl
CARGO   ?= cargo

WHERE   := --store '$(STORE)' --device '$(DEVICE)' $(if $(DATA),--data '$(DATA)') $(if $(FILTER),--filter '$(FILTER)')
RUNS    := --keep-going $(if $(JOBS),--jobs $(JOBS))

TABLES  := table1 table2 table3 table4 table5
# The experiments of `make report`.
TABLE   ?= table2

.PHONY: help build demo test check bench fmt clippy $(TABLES) regress report clean
.DEFAULT_GOAL := help

help:               ## this list
	@grep -hE '^[a-z0-9]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## */\t/' | expand -t 14

# What the programs are made of; cargo's own look at it takes longer than a
# whole no-op run, so it is asked only when one of these is newer.
SOURCES := $(shell find src baselines tests datasets experiments reports/templates reports/assets -type f) \
           Cargo.toml Cargo.lock $(wildcard .git/logs/HEAD)

build: $(DYGL)      ## dygl, its worker and the tests (in one go: the same features, so burn compiles once)

$(DYGL): $(SOURCES)
	@$(CARGO) build --workspace --all-targets
	@touch $@

demo: build         ## the whole thing on built-in images: trains, evaluates, reports; no data, no GPU
	@$(DYGL) run smoke --keep-going --store '$(STORE)'
	@$(DYGL) report smoke --store '$(STORE)' --out '$(OUT)/smoke'

test: build         ## all tests
	@$(CARGO) test --workspace

fmt:                ## formatting
	@$(CARGO) fmt --all --check

clippy:             ## lints
	@$(CARGO) clippy --workspace --all-targets -- -D warnings

check: fmt clippy test  ## formatting, lints, tests

# With VENV=FOLDER the Python side is measured too; a folder that is not there
# is made from bench/requirements.txt (a download of some gigabytes).
bench: build        ## image pipeline beside PyTorch's DataLoader, two threads each (DATA=..., VENV=...)
	@if [ -n '$(VENV)' ] && [ ! -x '$(VENV)/bin/python' ]; then \
	 python3 -m venv '$(VENV)' && '$(VENV)/bin/pip' install -r bench/requirements.txt; fi
	@RAYON_NUM_THREADS=2 $(TARGET)/debug/examples/pipeline --data '$(or $(DATA),datasets)' \
	 $(if $(VENV),--python '$(VENV)/bin/python')

table1:             ## Table 1: the datasets; needs none of them
table2:             ## Table 2: polyp segmentation (Kvasir-SEG, CVC-ClinicDB)
table3:             ## Table 3: brain tumours (Brain-MRI)
table4:             ## Table 4: skin lesions (ISIC2016, PH2)
table5:             ## Table 5: pathological tissue (GlaS, TNBC)

$(TABLES): build
	@$(DYGL) run $@ --profile '$(PROFILE)' $(WHERE) $(RUNS); ran=$$?; \
	 $(DYGL) report $@ --profile '$(PROFILE)' $(WHERE) --out '$(OUT)/$@'; reported=$$?; \
	 if [ $$ran -ne 0 ]; then exit $$ran; else exit $$reported; fi

regress: build      ## fails when a score of the smoke experiment moved against its lock file
	@$(DYGL) run smoke --store '$(STORE)'
	@$(DYGL) check smoke --store '$(STORE)' --against lock

report: build       ## tables and pages of what is in the store, for TABLE='table2 table3 ...'; never trains
	@code=0; for table in $(TABLE); do \
	   $(DYGL) report $$table --profile '$(PROFILE)' $(WHERE) --out "$(OUT)/$$table" || code=$$?; \
	 done; exit $$code

clean:              ## build results and reports; never the store
	@$(CARGO) clean
	@rm -rf '$(OUT)'
