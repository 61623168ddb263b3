# Two commands do everything on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(CURDIR)/$(VENV)/bin
CORES ?= 2
# Idle threads of torch, faiss and OpenBLAS sleep instead of spinning on shared cores.
export OMP_WAIT_POLICY := PASSIVE
export PATH := $(BIN):$(PATH)

.PHONY: demo test slurm demo-slurm doctor check format install clean

demo: install  ## whole DAG on the demo world: crawl to report, minutes on two cores
	snakemake --profile workflow/profiles/local --cores $(CORES) --configfile config/demo.yaml --directory runs/demo
	@python src/collect.py --metrics runs/demo/results/evaluate/metrics.parquet --report runs/demo/results/report/report.html

test: install  ## unit, stage and workflow tests on the CPU, offline
	OMP_NUM_THREADS=1 pytest --numprocesses $(CORES)

slurm: install  ## the workflow on a real Slurm of four nodes on this machine, killed and interrupted: root, slurmctld slurmd slurm-client munge
	pytest -m slurm tests/slurm

demo-slurm: install  ## the whole of the demo's configuration on that Slurm, compared with what `make demo` left
	python -m tests.slurm.demo

doctor:  ## does this cluster fit workflow/profiles/slurm, do its nodes have what this machine has, see CONFIG's data
	@python src/doctor.py --config $(CONFIG)

check: install  ## lint, format, types, workflow lint
	ruff check src tests
	ruff format --check src tests
	snakefmt --check Snakefile rules workflow
	snakemake --lint --configfile config/demo.yaml
	basedpyright

format: install
	ruff check --fix src tests
	ruff format src tests
	snakefmt Snakefile rules workflow

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --disable-pip-version-check --no-compile -c constraints.txt -e '.[cpu,demo,dev]'
	-$(VENV)/bin/python -m compileall -qq -j 0 $(VENV)/lib # on all cores: pip takes one
	touch $@

clean:
	rm -rf runs/demo .pytest_cache .ruff_cache .hypothesis
