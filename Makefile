# Shorthands for CMake's presets (CMakePresets.json): each installs what is missing, then configures, builds and runs.

SHELL := /bin/bash
.DELETE_ON_ERROR:
.DEFAULT_GOAL := all

JOBS ?= $(shell nproc)
PREFIX ?= /usr/local
# SANITIZE=1 builds and tests in build-sanitize, with AddressSanitizer and UndefinedBehaviorSanitizer.
PRESET := $(if $(filter 1,$(SANITIZE)),sanitize,release)
BUILD := build$(if $(filter 1,$(SANITIZE)),-sanitize)

configure = cmake --preset $(PRESET) --log-level=WARNING >/dev/null
build = $(configure) && cmake --build --preset $(PRESET) --parallel $(JOBS)
sources = $$(find include src tests bench examples -name '*.cpp' -o -name '*.h')

.PHONY: all
all: setup ## Build the program, build/onnxport (the default)
	@$(build) --target onnxport_program

.PHONY: demo
demo: setup ## Export a model and compare sentences with it, MODEL=directory and TEXT=file for your own (tools/demo.sh)
	@$(build) --target onnxport_program example_sentence_similarity
	@BUILD="$(BUILD)" tools/demo.sh

.PHONY: test
test: setup demo-model ## Build everything and run all tests; SANITIZE=1 with the sanitizers
	@$(build)
	@ctest --preset $(PRESET) --parallel $(JOBS)

.PHONY: bench
bench: setup ## Build and run the benchmarks, BENCH=name for one of them
	@$(build)
	@set -e; for program in $(if $(BENCH),$(BUILD)/bench/$(BENCH),$(BUILD)/bench/*); do \
	  [ ! -x "$$program" ] || [ -d "$$program" ] || "$$program"; done

.PHONY: coverage-table
coverage-table: setup ## Print which model types and tasks pass against the golden fixtures
	@$(build) --target onnxport_golden_tests >&2
	@$(BUILD)/onnxport_golden_tests --coverage-table

.PHONY: readme
readme: all ## Renew the generated parts of README.md and docs/options.md
	@tools/update-readme.sh

.PHONY: format
format: setup-format ## Format all sources with clang-format
	@clang-format -i $(sources)

.PHONY: format-check
format-check: setup-format ## Fail if a source is not formatted
	@clang-format --dry-run --Werror $(sources)

.PHONY: install
install: setup ## Install program, library and CMake package below PREFIX (/usr/local); DESTDIR is honoured
	@$(build)
	@cmake --install $(BUILD) --prefix "$(PREFIX)" --strip

.PHONY: setup
setup: ## Install what building needs and the machine lacks (the other targets do it too)
	@tools/setup.sh

.PHONY: demo-model
demo-model: setup ## Fetch the real model that the demo and the tests export (they do it too)
	@tools/fetch-demo-model.sh

.PHONY: setup-format
setup-format:
	@command -v clang-format >/dev/null || tools/setup.sh clang-format

.PHONY: clean
clean: ## Remove the build trees; what setup fetched stays in .deps
	@rm -rf build build-debug build-sanitize

.PHONY: help
help: ## Print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
