# make book | serve | practise | test: what most people need. The rest is in CONTRIBUTING.md.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python -m
PIP := $(RUN) pip install --quiet --disable-pip-version-check --constraint constraints.txt

# One thread a process, so that numbers do not depend on the number of cores.
export OMP_NUM_THREADS := 1

.PHONY: book serve practise test lint types links notebooks release grade bench dist pictures mutants

book: $(VENV)/reads
	$(VENV)/bin/jupyter-book build . -W -n --keep-going --quiet
	@echo "The book is built. Open $(CURDIR)/_build/html/index.html"

serve: book
	@$(RUN) webbrowser http://localhost:8000 || true
	$(RUN) http.server 8000 --bind localhost --directory _build/html

# The exercises in JupyterLab.
practise: $(VENV)/works
	$(VENV)/bin/jupyter lab exercises

test: $(VENV)/works lint types book
	$(RUN) pytest --quiet --nbval -n 2 --dist loadfile --ignore-glob='*.py' book exercises solutions
	$(RUN) pytest --quiet -n 2 --dist loadfile

lint: $(VENV)/works
	$(RUN) ruff check
	$(RUN) ruff format --check --quiet --no-cache
	$(VENV)/bin/typos --format brief
	$(RUN) check_jsonschema --quiet --builtin-schema vendor.github-workflows .github/workflows/*.yml

types: $(VENV)/works
	$(RUN) mypy

# Whether the addresses that the book names still answer: needs the network, and minutes.
links: $(VENV)/reads
	$(VENV)/bin/jupyter-book build . --builder linkcheck --quiet --path-output _build/links

# The only writer of outputs in notebooks: make notebooks NOTEBOOKS="book/regression.ipynb"
notebooks: release
	$(RUN) tools.notebooks $(NOTEBOOKS)

# Learners' notebooks from the solutions.
release: $(VENV)/works
	$(VENV)/bin/course-losses release

# make grade SUBMISSIONS=folder [OPTIONS="--jobs 4"]
grade: $(VENV)/works
	$(VENV)/bin/course-losses grade $(SUBMISSIONS) $(OPTIONS)

bench: $(VENV)/works
	for file in tests/benchmarks/*.py; do $(VENV)/bin/python $$file || exit 1; done

# What is handed out: the book as a zip and as a PDF, the learner's pack as a zip.
dist: $(VENV)/works
	$(RUN) tools.dist

# The pictures of the README and of the page for instructors, taken by their tests.
pictures: $(VENV)/works
	$(RUN) pytest --quiet tests/site/test_pictures.py --pictures

# make mutants MODULES="regression segmentation" (all of them take an hour)
mutants: $(VENV)/works
	$(PIP) --group mutants
	$(RUN) tools.mutants $(MODULES)

# What renders the book: no torch.
$(VENV)/reads: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed: make PYTHON=python3.12" \
		if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(PIP) --upgrade pip
	$(PIP) --group book
	@touch $@

# What computes, tests and grades.
$(VENV)/works: $(VENV)/reads
	$(PIP) --editable '.[cluster,peers]' --group test
	@touch $@
