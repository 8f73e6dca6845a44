# The front door. `make help` lists what there is.
#
#   PROFILE  settings of the experiments: paper (default), quick, smoke
#   DATA     folder that holds the datasets by id
#   DEVICE   auto (default: the fastest that is here), flex, tch-cpu, tch:0, any
#   BACKEND  flex (default: pure Rust), tch (libtorch too; needs `make libtorch`)
#   LIBTORCH folder of libtorch (default: libtorch); CUDA=1 fetches CUDA with it
#   FILTER   cells to keep, e.g. FILTER='model=dyglnet,dataset=kvasir*'
#   TABLE    experiments of `make report` (default: table2)
#   JOBS     cells at once (default: what the profile says)
#   STORE    folder of results (default: .dygl)
#   VENV     folder of a Python environment, for bench
#   MODEL    networks of bench (default: all), BATCH their batches (default: 2 4;
#            on a card 16), ROUNDS how often each side has its turn (default: 3),
#            THREADS of each process (default: 2)

PROFILE ?= paper
DEVICE  ?= auto
BACKEND ?= flex
STORE   ?= .dygl
OUT     ?= reports/out

TARGET  := $(or $(CARGO_TARGET_DIR),target)
DYGL    := $(TARGET)/debug/dygl
CARGO   ?= cargo
PYTHON  ?= python3
LIBTORCH ?= $(CURDIR)/libtorch

ifeq ($(filter $(BACKEND),flex tch),)
$(error BACKEND=$(BACKEND): there are flex and tch)
endif
ifeq ($(BACKEND),tch)
FEATURES := --features dygl-train/tch
export LIBTORCH
# The worker finds libtorch by itself; the unit tests of the other crates do not.
export LD_LIBRARY_PATH := $(LIBTORCH)/lib$(if $(LD_LIBRARY_PATH),:$(LD_LIBRARY_PATH))
endif

WHERE   := --store '$(STORE)' --device '$(DEVICE)' $(if $(DATA),--data '$(DATA)') $(if $(FILTER),--filter '$(FILTER)')
RUNS    := --keep-going $(if $(JOBS),--jobs $(JOBS))

TABLES  := table1 table2 table3 table4 table5 table6 ablation
# What rests on cost ledgers is whole without a run.
COSTS   := table7 fig1
# The experiments of `make report`.
TABLE   ?= table2
THREADS ?= 2

.PHONY: help build programs demo test check fmt clippy doc bench bench-networks bench-ops bench-roofline bench-pipeline venv performance parity portability valgrind libtorch $(TABLES) $(COSTS) regress rounding report audit clean again
.DEFAULT_GOAL := help

help:               ## this list
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## */\t/' | expand -t 16

# The two programs alone. The tests and the benchmarks use the same dependencies with the
# same features, so `make build` afterwards does not compile burn again.
PROGRAMS := -p dygl -p dygl-train --bins

# What the programs are made of; cargo's own look at it takes longer than a
# whole no-op run, so it is asked only when one of these is newer.
SOURCES := $(shell find src baselines datasets experiments reports/templates reports/assets -type f) \
           Cargo.toml Cargo.lock $(wildcard .git/logs/HEAD)

CHECK_LIBTORCH := if [ '$(BACKEND)' = tch ] && [ ! -e '$(LIBTORCH)/lib/libtorch_cpu.so' ]; then \
	   echo 'error: $(LIBTORCH) holds no libtorch; `make libtorch` fetches it' >&2; exit 3; fi

# Another backend than the last time's is another program.
BUILT := $(TARGET)/debug/.backend
ifneq ($(shell cat '$(BUILT)' 2>/dev/null),$(BACKEND))
$(DYGL): again
endif

programs: $(DYGL)   ## dygl and its worker

build:              ## the programs, the tests and the benchmarks
	@$(CHECK_LIBTORCH)
	@$(CARGO) build --workspace --all-targets $(FEATURES)
	@touch '$(DYGL)'
	@echo '$(BACKEND)' > '$(BUILT)'

$(DYGL): $(SOURCES)
	@$(CHECK_LIBTORCH)
	@$(CARGO) build $(PROGRAMS) $(FEATURES)
	@touch $@
	@echo '$(BACKEND)' > '$(BUILT)'

demo: programs       ## the whole thing on built-in images: trains, evaluates, reports; no data, no GPU
	@$(DYGL) run smoke --keep-going --store '$(STORE)' --device '$(DEVICE)'
	@$(DYGL) report smoke --store '$(STORE)' --device '$(DEVICE)' --out '$(OUT)/smoke'

test: build         ## all tests
	@$(CARGO) test --workspace $(FEATURES)

fmt:                ## formatting
	@$(CARGO) fmt --all --check

clippy:             ## lints
	@$(CARGO) clippy --workspace --all-targets $(FEATURES) -- -D warnings

doc:                ## what the crates offer each other, as pages; a dead link is an error
	@RUSTDOCFLAGS='-D warnings -A rustdoc::private_intra_doc_links' $(CARGO) doc --workspace --no-deps --document-private-items $(FEATURES)

parity: build       ## every network against its reference on DEVICE (default: all that are here); writes doc/parity.md
	@DYGL_PARITY_DEVICE='$(filter-out auto any,$(DEVICE))' \
	 $(CARGO) test --workspace $(FEATURES) --test integration parity:: -- --nocapture --test-threads 1 \
	 > parity.log; code=$$?; grep -E 'parity|^error|FAILED' parity.log; \
	 awk -f tools/parity.awk parity.log > parity.new && mv parity.new doc/parity.md; \
	 rm -f parity.log parity.new; exit $$code

# valgrind does not know every instruction: libtorch takes its plain kernels.
# Nothing is suppressed; what is still reachable at the end counts as no leak.
valgrind: build     ## the shim to libtorch under valgrind: reads, writes, leaks (BACKEND=tch)
	@command -v valgrind >/dev/null || { echo 'error: `make valgrind` needs valgrind (apt-get install valgrind)' >&2; exit 3; }
	@[ '$(BACKEND)' = tch ] || { echo 'error: the shim is compiled with BACKEND=tch alone' >&2; exit 2; }
	@ATEN_CPU_CAPABILITY=default OMP_NUM_THREADS=2 \
	 CARGO_TARGET_$(shell rustc -vV | sed -n 's/^host: //p' | tr 'a-z-' 'A-Z_')_RUNNER='valgrind --quiet --error-exitcode=9 --leak-check=full --errors-for-leak-kinds=definite' \
	 $(CARGO) test --workspace $(FEATURES) --lib -- op::torch:: --test-threads 1

# A processor with fused products and one without, as qemu emulates them: each
# takes the kernels that the real one would.
CPUS ?= Haswell-noTSX,-pcid,-x2apic,-tsc-deadline,-invpcid Nehalem
portability: programs ## the networks of the paper on emulated CPUs: the bits of tests/golden/bits.txt (MODEL, CPUS)
	@command -v qemu-x86_64 >/dev/null || { echo 'error: `make portability` needs qemu-x86_64 (apt-get install qemu-user)' >&2; exit 3; }
	@code=0; for cpu in $(CPUS); do echo "== $$cpu"; \
	   qemu-x86_64 -cpu "$$cpu" '$(TARGET)/debug/dygl-worker' bits --precision f32 \
	     $(if $(MODEL),$(addprefix --model ,$(MODEL)),--paper) --against tests/golden/bits.txt || code=$$?; \
	 done; exit $$code

libtorch:           ## fetches libtorch from PyPI into libtorch/ (CUDA=1: with CUDA; WHEELS=DIR: from a folder)
	@command -v '$(PYTHON)' >/dev/null || { echo 'error: `make libtorch` needs $(PYTHON) with pip' >&2; exit 3; }
	@$(PYTHON) tools/libtorch.py --into '$(LIBTORCH)' $(if $(filter 1,$(CUDA)),--cuda) $(if $(WHEELS),--wheels '$(WHEELS)')

check: fmt clippy doc test  ## formatting, lints, documentation, tests

# With VENV=FOLDER the Python side is measured too; a folder that is not there
# is made from bench/requirements.txt (a download of some gigabytes).
BENCH   := $(TARGET)/debug/dygl-bench
BENCHED := --threads '$(THREADS)' --out '$(OUT)/bench' $(if $(VENV),--python '$(VENV)/bin/python') \
           $(if $(ROUNDS),--rounds '$(ROUNDS)') $(if $(filter-out auto any,$(DEVICE)),--device '$(DEVICE)')

bench: build        ## all of the following beside PyTorch, in turns; VENV=FOLDER holds or gets PyTorch
	@$(MAKE) --no-print-directory -j1 bench-networks bench-ops bench-roofline \
	 $(if $(DATA)$(wildcard datasets/kvasir-seg-352),bench-pipeline)

bench-networks: build venv  ## a training step and an evaluation of MODEL on BATCH images
	@'$(BENCH)' steps $(BENCHED) $(if $(MODEL),--model '$(MODEL)') $(if $(BATCH),--batch '$(BATCH)')

bench-ops: build venv  ## each operation forward and backward, burn's primitives and ATen beside it
	@'$(BENCH)' operations $(BENCHED)

bench-roofline: build   ## what bounds a step of DyGLNet and of U-Net, against this machine's peaks
	@'$(BENCH)' roofline $(BENCHED)

bench-pipeline: build venv  ## the image pipeline beside DataLoader on DATA (default: datasets), and beside a trainer
	@RAYON_NUM_THREADS='$(THREADS)' $(TARGET)/debug/dygl-bench-pipeline --data '$(or $(DATA),datasets)' \
	 $(if $(VENV),--python '$(VENV)/bin/python')

performance: build  ## doc/performance.md and its charts from what `make bench` measured
	@'$(BENCH)' performance --from '$(OUT)/bench'

venv:
	@if [ -n '$(VENV)' ] && [ ! -x '$(VENV)/bin/python' ]; then \
	 '$(PYTHON)' -m venv '$(VENV)' && '$(VENV)/bin/pip' install -r bench/requirements.txt; fi

table1:             ## Table 1: the datasets; needs none of them
table2:             ## Table 2: polyp segmentation (Kvasir-SEG, CVC-ClinicDB)
table3:             ## Table 3: brain tumours (Brain-MRI)
table4:             ## Table 4: skin lesions (ISIC2016, PH2)
table5:             ## Table 5: pathological tissue (GlaS, TNBC)
table6:             ## Table 6: the seven ablations on all datasets
ablation:           ## Table 6 with every other reading of its rows
table7:             ## Table 7: costs as published and true; trains nothing
fig1:               ## Figure 1: bubble charts, SVG and PNG; trains nothing

$(TABLES): programs
	@$(DYGL) run $@ --profile '$(PROFILE)' $(WHERE) $(RUNS); ran=$$?; \
	 $(DYGL) report $@ --profile '$(PROFILE)' $(WHERE) --out '$(OUT)/$@'; reported=$$?; \
	 if [ $$ran -ne 0 ]; then exit $$ran; else exit $$reported; fi

$(COSTS): programs
	@$(DYGL) report $@ --profile '$(PROFILE)' $(WHERE) --out '$(OUT)/$@'

# As many draws as it takes to see a spread; each is four cells more.
DRAWS ?= 5
rounding: build     ## how far one unit in the last place of the initial weights moves the smoke scores (DRAWS)
	@tools/rounding.sh '$(TARGET)/debug/dygl-nudge' '$(DYGL)' experiments/smoke.toml '$(OUT)/rounding' '$(DRAWS)'

regress: programs     ## fails when a bit of the smoke experiment's scores is not the accepted one
	@$(DYGL) run smoke --store '$(STORE)' --device flex
	@$(DYGL) check smoke --store '$(STORE)' --device flex --against lock --require identical

report: programs      ## tables and pages of what is in the store, for TABLE='table2 table3 ...'; never trains
	@code=0; for table in $(TABLE); do \
	   $(DYGL) report $$table --profile '$(PROFILE)' $(WHERE) --out "$(OUT)/$$table" || code=$$?; \
	 done; exit $$code

audit: programs       ## where the paper contradicts itself: its sentences against its numbers, with a page
	@$(DYGL) audit --out '$(OUT)/audit'

clean:              ## build results and reports; never the store
	@$(CARGO) clean
	@rm -rf '$(OUT)'
