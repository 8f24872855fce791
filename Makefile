# Every target installs what it needs and no more (setup.sh is quick when there is nothing to do).
PY := .venv/bin/python
RS := .venv/bin/robostack
TASK ?= quadrotor
RUN := logs/$(TASK)/$(shell date +%Y-%m-%d_%H-%M-%S)_fly
BEAM := logs/beam_orbit/$(shell date +%Y-%m-%d_%H-%M-%S)_beam
# docs/beam.md and benchmarks/beam_orbit.py train so
ORBIT := --learner.iterations 3600 --learner.horizon 10 --learner.learning-rate 3e-3 --learner.gradient-clip 0.5 \
	--learner.actor.hidden 192 128

TACTILE := logs/tactile_placement/$(shell date +%Y-%m-%d_%H-%M-%S)
# docs/tactile.md and benchmarks/_placement.py train so
EXPERT := --algorithm ppo --learner.iterations 80 --learner.steps 20 --learner.gamma 0.95 --learner.std 0.5 \
	--learner.actor.privileged
STUDENT := --student.hidden 128 64 --learner.iterations 60 --learner.horizon 20 --learner.epochs 6 \
	--learner.learning-rate 2e-3

# $(call stage,what it does,verb and options): announced, timed, and the end of `make` when it fails
stage = printf '\n\033[1m%s\033[0m\n' "$(1)"; start=$$(date +%s); $(RS) $(2) && echo "done in $$(($$(date +%s) - start)) s"

.PHONY: help fly avatar beam tactile test check isaaclab-test bench tables picture manual setup clean

help:  ## these lines
	@sed -n 's/^\([a-z-]*\):.*## /make \1\t/p' $(MAKEFILE_LIST) | expand -t 21

fly:  ## train a quadrotor policy, export it, prove it, fly it on an emulated board, and report
	@./setup.sh --tools train
	@$(call stage,1/5 train: first-order gradients through the simulator,train $(TASK) --run-folder $(RUN) $(TRAIN))
	@$(call stage,2/5 export: policy.onnx and from it alone the firmware in C,export $(RUN))
	@$(call stage,3/5 verify: every port computes the same actions,verify $(RUN))
	@$(call stage,4/5 fly: the firmware closes the loop with the simulator,fly $(RUN))
	@$(call stage,5/5 report,report $(RUN))

beam:  ## train an orbit controller, export it, prove it, correct ten unknown machines live over EPICS, and report
	@./setup.sh train epics
	@$(call stage,1/6 train: gradients through thousands of misaligned machines,train beam_orbit --run-folder $(BEAM) $(ORBIT) $(TRAIN))
	@$(call stage,2/6 export: policy.onnx with the whole contract,export $(BEAM))
	@$(call stage,3/6 verify: every port that runs here computes the same actions,verify $(BEAM))
	@$(call stage,4/6 evaluate: unseen machines in simulation,evaluate $(BEAM) --episodes 1000)
	@$(call stage,5/6 trial: ten unknown machines live beside the classical controllers,trial $(BEAM))
	@$(call stage,6/6 report,report $(BEAM))

tactile:  ## an expert, its students that feel a force field and a serial skin, pegs placed by both, and two reports
	@./setup.sh --tools train mujoco
	@$(call stage,1/12 train: an expert that sees how the peg lies,train tactile_placement --run-folder $(TACTILE)_expert $(EXPERT) $(TRAIN))
	@$(call stage,2/12 distill: a student that feels the force field,distill $(TACTILE)_expert --run-folder $(TACTILE)_field --student force_field $(STUDENT))
	@$(call stage,3/12 export: policy.onnx with the whole contract,export $(TACTILE)_field)
	@$(call stage,4/12 verify: every port computes the same actions,verify $(TACTILE)_field)
	@$(call stage,5/12 evaluate: 1024 pegs that no training drew,evaluate $(TACTILE)_field --episodes 1024)
	@$(call stage,6/12 fly: twelve pegs placed by the C of the file,fly $(TACTILE)_field --transport lockstep)
	@$(call stage,7/12 report,report $(TACTILE)_field)
	@$(call stage,8/12 distill: a student that feels five magnetometers,distill $(TACTILE)_expert --run-folder $(TACTILE)_skin --student anyskin $(STUDENT))
	@$(call stage,9/12 export: its policy.onnx,export $(TACTILE)_skin)
	@$(call stage,10/12 evaluate: the same 1024 pegs,evaluate $(TACTILE)_skin --episodes 1024)
	@$(call stage,11/12 run: twelve pegs placed by what comes over a serial line,run $(TACTILE)_skin --device anyskin --port twin --live)
	@$(call stage,12/12 report,report $(TACTILE)_skin)

avatar:  ## lead a human, a mouse and a dinosaur through a recorded motion; a table and a film
	@./setup.sh avatar
	@mkdir -p logs/avatar
	@$(RS) avatar retarget punch --film logs/avatar/punch.gif

# extras that tests use
TESTED := train dev avatar beam-test crazyflie epics manual mavlink mujoco qualify record rl-games ros sign sweep tactile trainers ulog view
# What flies in real time wants the machine for itself; the rest is shared out to both cores.
REAL_TIME := tests/devices tests/headset tests/nodes tests/record tests/twins
# These mostly wait, or for little, and do so beside the others.
BESIDE := tests/devices/epics tests/link

test: check  ## everything CI runs
	$(PY) -m pytest -n 2 --dist loadscope $(addprefix --ignore=,$(REAL_TIME) $(BESIDE))
	@mkdir -p build; $(PY) -m pytest $(BESIDE) >build/beside.txt 2>&1 & beside=$$!; \
	$(PY) -m pytest $(REAL_TIME) $(addprefix --ignore=,$(BESIDE)); rest=$$?; \
	wait $$beside; beside=$$?; cat build/beside.txt; exit $$((rest + beside))

check:
	@./setup.sh --test-tools $(TESTED)
	$(PY) -m ruff check
	$(PY) -m ruff format --check
	$(PY) -m mypy
	$(PY) benchmarks/tables.py --check

isaaclab-test:  ## train on a task of Isaac Lab 3.0, installed by itself (minutes, gigabytes)
	@tests/isaaclab/install.sh
	ROBOSTACK_ISAACLAB=1 OMP_NUM_THREADS=1 .venv-isaaclab/bin/python -m pytest -q -s tests/isaaclab

bench:  ## run every benchmark and fill the tables of README and docs
	@./setup.sh --tools train dev avatar mujoco bench beam-test epics
	@for script in benchmarks/*.py; do \
		case $$script in benchmarks/tables.py|benchmarks/_*) continue;; esac; \
		echo "$$script"; $(PY) $$script $(BENCH) || exit 1; \
	done
	@$(PY) benchmarks/tables.py

tables:
	@$(PY) benchmarks/tables.py

picture:  ## README's picture, from the newest run's report (needs chromium)
	@mkdir -p docs/images
	chromium --headless --no-sandbox --hide-scrollbars --window-size=1240,1500 \
		--screenshot=docs/images/report.png file://$(CURDIR)/logs/$(TASK)/latest/report.html

manual:  ## docs/ as pages that need no network: build/manual/index.html
	@./setup.sh manual
	@NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --strict --quiet
	@echo build/manual/index.html

setup:  ## install every extra and tool
	@./setup.sh --test-tools $(TESTED) bench

clean:  ## remove what was built, keep logs/
	rm -rf .venv .venv-isaaclab build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
