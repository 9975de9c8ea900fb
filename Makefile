# make run        set up, generate and score with the U-Net, report    make lint   style and format
# make test       set up and test                                      make bench  speed, as ratios
# make runs       the runs, studies and curves in results/reference; what is there stays: hours on 2 cores
# make reference  the tracked report of them
# make screens  the terminal as docs/screens.md shows it, and the picture of the page
# make picture  the picture of the tracked report alone, docs/report.png
# make numbers  the numbers in README and docs, from the tracked files
# make site     the pages as a site in build/site, which opens without a network
# make notebook  docs/where-it-fails.ipynb, executed again
# make panel  whether features and the detector of copies are worth anything on CIFAR-10 and on patches
# make controls  the scores of the control sets that come with the package, from MNIST: minutes
# make wheel  build the wheel, install it elsewhere with what it declares alone, use it there
PYTHON ?= python3
BIN := .venv/bin
OUT := --out results/reference
# The full MNIST for tests and runs, where this checkout has it beside itself.
export BENCH_DATA ?= $(realpath $(wildcard ../shared/data))

.PHONY: setup run report runs reference test wheel lint format bench screens picture numbers site notebook panel controls clean

setup: .venv/.installed

.venv/.installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || \
		{ echo "Python 3.11 to 3.13 is needed; found $$($(PYTHON) --version). Choose one: make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

run: setup
	$(BIN)/bench run --denoiser unet
	$(BIN)/bench report results/

report: setup
	$(BIN)/bench report results/

reference: setup
	$(BIN)/bench report results/reference --format html,md,csv,tex,json

# Two processes of one thread each; a file is tested by one of them, which prepares what its tests share.
test: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --durations=20

wheel: setup
	$(BIN)/python tests/wheel.py

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: setup
	$(BIN)/python benchmarks/speed.py
	$(BIN)/python benchmarks/kbnet.py
	$(BIN)/python benchmarks/scores.py

screens: setup
	$(BIN)/python docs/screens.py

picture: setup
	$(BIN)/python docs/screens.py page

numbers: setup
	$(BIN)/python docs/fill_numbers.py

site: setup
	$(BIN)/python docs/build_site.py

notebook: setup
	OMP_NUM_THREADS=1 $(BIN)/jupyter nbconvert --to notebook --execute --inplace docs/where-it-fails.ipynb

# Where photographs and CIFAR-10 are, for panels and the crossed experiment.
PHOTOGRAPHS ?= $(BENCH_DATA)/restoration/train
CIFAR10 ?= $(BENCH_DATA)/cifar10-jpeg/cifar10-train.zip

panel: setup
	$(BIN)/python benchmarks/panel.py $(CIFAR10) --num 1000 --name cifar10-jpeg
	$(BIN)/python benchmarks/panel.py patches:$(PHOTOGRAPHS) --num 1000 --name patches

controls: setup
	$(BIN)/python -m bench.scoring.shipping

# Every number in README and docs comes from these, by `make reference` and `make numbers`. Networks of others
# are studied where their files are named: make runs DNCNN=dncnn_25.pth FFDNET=ffdnet_gray.pth
runs: setup
	$(BIN)/bench sweep examples/sweep.yaml $(OUT)
	ls results/reference/vae/*/metrics-*.json || { mkdir -p build; \
		$(BIN)/python examples/vae.py --num 2000 --out build/vae.npz && $(BIN)/bench score build/vae.npz --name vae $(OUT); }
	for name in unet gaussian ideal; do $(BIN)/bench gauge --denoiser $$name --num 200 $(OUT) || exit 1; done
	for card in gray-blind50 mnist-all; do $(BIN)/bench gauge --denoiser kbnet --weights $$card --num 200 $(OUT) || exit 1; done
	$(BIN)/bench study ladder $(OUT)
	$(BIN)/bench study samplers --denoiser unet --calls 20 $(OUT)
	$(BIN)/bench study samplers --denoiser unet --num 10000 --members dpmpp_2m_sde/karras $(OUT)/finalists
	$(BIN)/bench study convergence --denoiser unet --calls 5,10,20,50,100 $(OUT)
	for card in gray-blind50 gray25 gray-all mnist-all mnist-all-l1; do \
		$(BIN)/bench study band --denoiser kbnet --weights $$card $(OUT) || exit 1; done
	for name in gaussian gmm ideal tv; do $(BIN)/bench study band --denoiser $$name $(OUT) || exit 1; done
	$(BIN)/bench study band --denoiser unet --weights mnist-41 $(OUT)
	test -z "$(DNCNN)" || $(BIN)/bench study band --denoiser spandrel --weights $(DNCNN) --option sigma_255=25 $(OUT)
	test -z "$(FFDNET)" || $(BIN)/bench study band --denoiser ffdnet --weights $(FFDNET) --option sigma_255=0-75 $(OUT)
	test ! -d "$(PHOTOGRAPHS)" || $(BIN)/bench study cross --num 512 --photographs $(PHOTOGRAPHS) $(OUT)

clean:
	rm -rf .venv build *.egg-info .pytest_cache .ruff_cache
