# Each target works on a fresh machine: it makes .venv and installs the pinned versions first.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.PHONY: demo test test-ray test-app faults lint check files docs bench clean

demo: $(READY)
	$(BIN)/python -m ray_jobs.commands.demo $(ARGS)

test: $(READY)
	$(BIN)/python -m pytest -m "not faults" --numprocesses 3 --dist loadgroup

# The tests on Ray under another release, in an environment of its own: make test-ray RAY=2.58.1
test-ray:
	$(PYTHON) -m venv .venv-ray-$(RAY)
	sed "s/^ray==.*/ray==$(RAY)/" requirements.lock > .venv-ray-$(RAY)/requirements.txt
	.venv-ray-$(RAY)/bin/python -m pip install --quiet --disable-pip-version-check -r .venv-ray-$(RAY)/requirements.txt
	.venv-ray-$(RAY)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	.venv-ray-$(RAY)/bin/python -m pytest -m "ray and not faults"

# The tests of the page of `quintet app`: gradio allows no pillow 13, so it gets an environment of its own on top of .venv
test-app: $(READY)
	$(PYTHON) -m venv .venv-app
	$(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' > \
		"$$(.venv-app/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/below.pth"
	.venv-app/bin/python -m pip install --quiet --disable-pip-version-check --editable .[app]
	.venv-app/bin/python -m pytest tests/ray_jobs/app tests/ray_jobs/commands/test_app.py

faults: $(READY)
	$(BIN)/python -m pytest -m faults --numprocesses 2 --dist loadgroup

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --threads 2
	$(BIN)/lint-imports

check: lint
	$(BIN)/python -m pytest -m "not ray and not slow and not faults" --numprocesses 2 --dist loadgroup

files: $(READY)
	$(BIN)/python docs/list_files.py
	$(BIN)/python docs/list_settings.py

docs: $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .[docs]
	$(BIN)/python -m mkdocs build --strict --quiet

bench: $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .[bench]
	$(BIN)/python -m benchmarks.ladder
	$(BIN)/python -m benchmarks.workers
	$(BIN)/python -m benchmarks.peers
	$(BIN)/python -m benchmarks.feed
	$(BIN)/python -m benchmarks.prepare --small-files 200000
	$(BIN)/python -m benchmarks.streaming
	$(BIN)/python -m benchmarks.tracking
	$(BIN)/python -m benchmarks.search
	$(BIN)/python -m benchmarks.checkpoints
	$(BIN)/python -m benchmarks.growth
	$(BIN)/python -m benchmarks.report

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed, $(PYTHON) is older; try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

clean:
	rm -rf .venv build *.egg-info
