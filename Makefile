# Needs Go, git, make and a POSIX shell with its usual companions (awk, find, grep, sed; for the tests also diff and ps). Everything else (tools, API server,
# etcd, kubectl) is built by Go from the modules that a go.sum in this repository vouches for; nothing is downloaded by other means.

SHELL := /bin/sh
# -e: a recipe line of several commands stops at the first that fails, as a list of single lines would.
.SHELLFLAGS := -ec
.DEFAULT_GOAL := help
# The targets share the Go build cache, the tree and the local control plane: in parallel they would only get in each other's way.
.NOTPARALLEL:

VERSION        ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
IMAGE          ?= iam-operator:$(VERSION)
CONTAINER_TOOL ?= docker
FUZZTIME       ?= 10s
TEST_TIMEOUT   ?= 30m
# Go's cache of test results can't see that a control plane was rebuilt: in CI every test runs.
TESTFLAGS      ?= $(if $(CI),-count=1)

# Every Go module of the repository, the root as `.`.
MODULES = $(shell find . -name .git -prune -o -path ./bin -prune -o -name go.mod -print | sed 's,/go.mod$$,,' | sort)

# `go tool -n` builds a tool of hack/tools/go.mod, into Go's own cache, and prints its path. Unlike `go tool -modfile` it also serves a tool whose source is ours,
# and leaves the tool to run where it is called.
TOOL = go -C $(CURDIR)/hack/tools tool -n

MODULE = github.com/iam-operator/iam-operator
# What the types of api/audit are made of.
APIMACHINERY = k8s.io/apimachinery/pkg/apis/meta/v1 k8s.io/apimachinery/pkg/runtime k8s.io/apimachinery/pkg/version

# The folder with kube-apiserver, etcd, kubectl and kube-controller-manager.
ASSETS = $${KUBEBUILDER_ASSETS:-$$(go -C hack/controlplane run .)}

# etcd takes 1.5 MiB for an object; a CRD that `kubectl apply` can store in its own annotation has to stay below 256 KiB.
CRD_LIMIT = 262144

##@ Use

.PHONY: help
help: ## List the targets
	@awk 'BEGIN { FS = ":.*## " } \
	  /^##@ / { printf "\n%s\n", substr($$0, 5) } \
	  /^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' Makefile

.PHONY: demo
demo: ## Start a control plane with the operator, apply the quickstart and show what happened (ONCE=1: then stop)
	@assets=$(ASSETS); \
	KUBEBUILDER_ASSETS=$$assets go run ./hack/demo $(if $(filter-out 0 false no,$(ONCE)),--once)

.PHONY: build
build: ## Build bin/iam-operator, static
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o bin/iam-operator .

.PHONY: docker-build
docker-build: ## Build the container image (IMAGE, CONTAINER_TOOL)
	$(CONTAINER_TOOL) build --build-arg VERSION=$(VERSION) --tag $(IMAGE) .

##@ Work on it

.PHONY: generate
generate: ## Write deepcopy functions, OpenAPI, CRDs, RBAC and the field reference from the Go types and markers
	@gen=$$($(TOOL) controller-gen); \
	echo 'generate: deepcopy functions'; \
	$$gen object:headerFile=hack/boilerplate.go.txt paths=./api/...; \
	echo 'generate: config/crd/bases'; \
	rm -rf bin/crd; \
	$$gen crd paths=./api/v1alpha1 output:crd:dir=bin/crd; \
	rm -rf config/crd/bases; mkdir -p config/crd; mv bin/crd config/crd/bases; \
	echo 'generate: config/rbac/role.yaml'; \
	$$gen rbac:roleName=iam-operator-manager paths=./... output:rbac:dir=config/rbac
# CRDs come from api/v1alpha1 only: the types of api/audit are served by our own API server, which stores them itself, and describes them by OpenAPI. The folder is
# replaced whole, so that the CRD of a kind that is gone goes too.
	@openapi=$$($(TOOL) openapi-gen); \
	echo 'generate: OpenAPI of api/audit'; \
	$$openapi --go-header-file=hack/boilerplate.go.txt --report-filename=/dev/null \
	  --output-dir=internal/server/auditapi/openapi --output-pkg=$(MODULE)/internal/server/auditapi/openapi \
	  --output-file=zz_generated.openapi.go --output-model-name-file=zz_generated.model_name.go \
	  $(addprefix --readonly-pkg=,$(APIMACHINERY)) $(MODULE)/api/audit/v1alpha1 $(APIMACHINERY)
	@docs=$$($(TOOL) crd-ref-docs); \
	echo 'generate: docs/reference.md'; \
	mkdir -p docs; \
	$$docs --source-path=api --config=hack/tools/reference/config.yaml --templates-dir=hack/tools/reference --renderer=markdown --output-path=docs/reference.md --log-level=ERROR

.PHONY: test
test: controlplane ## Run all tests, with the race detector where this machine has a C compiler
	@assets=$(ASSETS); export KUBEBUILDER_ASSETS=$$assets; \
	if go build -race runtime/race 2>/dev/null; then race=-race; else race=; $(NO_RACE); fi; \
	for module in $(filter-out ./hack/tools,$(MODULES)); do \
	  echo "test: go test $$race $(TESTFLAGS) -timeout $(TEST_TIMEOUT) ./... in $$module"; \
	  go -C $$module test $$race $(TESTFLAGS) -timeout $(TEST_TIMEOUT) ./... || failed="$$failed $$module"; \
	done; \
	if [ -z "$$race" ]; then $(NO_RACE); fi; \
	if [ -n "$$failed" ]; then echo "test: FAILED in:$$failed" >&2; exit 1; fi
# Outside macOS the race detector needs cgo, hence a C compiler with its headers, and not every platform has it: building its own package asks about all of that.
# Without it the tests still say much, but a data race would pass: hence the loud words, before and after.
NO_RACE = printf '%s\n' \
  '********************************************************************************' \
  'test: WITHOUT THE RACE DETECTOR: `go build -race` does not work here; it needs a C' \
  'compiler (gcc or clang, with the libc headers). Data races go unseen in this run.' \
  '********************************************************************************' >&2

.PHONY: test-orders
test-orders: controlplane ## Apply the quickstart in 200 random orders, of which `test` tries 20: some minutes
	@assets=$(ASSETS); \
	KUBEBUILDER_ASSETS=$$assets ORDERS=200 go test ./test/e2e -run TestLaw09 -count=1 -timeout $(TEST_TIMEOUT)

.PHONY: test-agreement
test-agreement: ## Hold 1,000,000 decisions to the reference, and 10,000 changes to snapshots built afresh, of which `test` tries some
	AGREEMENT_PAIRS=1000000 INCREMENTAL_CHANGES=10000 go test ./internal/authz -run 'TestAgreement$$|TestIncremental|TestMutantsAreCaught' -v -count=1 -timeout $(TEST_TIMEOUT)

.PHONY: bench
bench: ## Compare the decision engine with other policy engines, at 100 to 100,000 policies: about an hour
	go -C test/bench run -tags peers .

.PHONY: bench-admission
bench-admission: controlplane ## Measure what the webhooks add to a create with 10,000 objects present: some minutes
	@assets=$(ASSETS); \
	KUBEBUILDER_ASSETS=$$assets go run ./test/performance admission

.PHONY: bench-passwords
bench-passwords: controlplane ## Measure the operator's memory while 1,000 Members get a password at once
	@assets=$(ASSETS); \
	KUBEBUILDER_ASSETS=$$assets go run ./test/performance passwords

.PHONY: bench-audit
bench-audit: controlplane ## Measure the audit log with 1,000,000 events: how soon a change can be read, queries, retention: some 20 minutes
	@assets=$(ASSETS); \
	KUBEBUILDER_ASSETS=$$assets go run ./test/performance audit

.PHONY: bench-served
bench-served: controlplane ## Measure how many decisions are served over loopback, with 10,000 policies (needs wrk): some minutes
	@assets=$(ASSETS); \
	KUBEBUILDER_ASSETS=$$assets go run ./test/performance served

.PHONY: bench-revoke
bench-revoke: controlplane ## Measure how soon what was revoked is denied: some minutes
	@assets=$(ASSETS); \
	KUBEBUILDER_ASSETS=$$assets go run ./test/performance revoke

.PHONY: controlplane
controlplane: ## Build kube-apiserver, etcd, kubectl and kube-controller-manager once, into the user's cache
	@assets=$(ASSETS); echo "controlplane: $$assets"

.PHONY: lint
lint: ## Run golangci-lint on every module, and the Kubernetes API linter on api/
	@lint=$$($(TOOL) golangci-lint); \
	for module in $(MODULES); do \
	  echo "lint: $$module"; \
	  (cd $$module && $$lint run --config $(CURDIR)/.golangci.yml ./...) || failed="$$failed $$module"; \
	done; \
	echo 'lint: API conventions of ./api/...'; \
	$$lint run --config .golangci-kal.yml ./api/... || failed="$$failed api-conventions"; \
	if [ -n "$$failed" ]; then echo "lint: FAILED in:$$failed" >&2; exit 1; fi

.PHONY: arrows
arrows: ## Check only who imports whom (docs/architecture.md); part of lint
	@lint=$$($(TOOL) golangci-lint); $$lint run --enable-only depguard ./...

.PHONY: format
format: ## Format the Go code of every module, and mend what lint can mend by itself
	@lint=$$($(TOOL) golangci-lint); \
	for module in $(MODULES); do \
	  (cd $$module && $$lint run --fix --config $(CURDIR)/.golangci.yml ./...) || failed="$$failed $$module"; \
	done; \
	if [ -n "$$failed" ]; then echo "format: by hand, as said above:$$failed" >&2; exit 1; fi

.PHONY: fuzz
fuzz: ## Run every fuzz target for FUZZTIME (10s)
	@for dir in $$(git ls-files -co --exclude-standard '*_test.go' | xargs grep -l '^func Fuzz' /dev/null | sed 's,^,./,; s,/[^/]*$$,,' | sort -u); do \
	  list=$$(go -C $$dir test -list '^Fuzz' .); \
	  for target in $$(echo "$$list" | grep '^Fuzz'); do \
	    echo "fuzz: $$target in $$dir for $(FUZZTIME)"; \
	    go -C $$dir test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) .; \
	  done; \
	done

.PHONY: clean
clean: ## Remove what was built here (the control plane in the user's cache stays)
	rm -rf bin coverage.out

##@ Check before a commit lands (`make -k verify` reports on everything instead of stopping at the first)

.PHONY: verify
verify: verify-generated verify-modules verify-crds verify-scripts lint ## Regenerate, then fail on a dirty tree; tidy modules, CRD sizes, scripts, lint, arrows
	@echo 'verify: all is well'

.PHONY: verify-generated
verify-generated: generate
	@status=$$(git status --porcelain); \
	if [ -n "$$status" ]; then \
	  printf '%s\n' 'verify: the tree differs from the last commit. Commit what is meant; generated files are committed too (make generate):' "$$status" >&2; \
	  exit 1; \
	fi

.PHONY: verify-modules
verify-modules:
	@for module in $(MODULES); do \
	  echo "verify: go mod tidy in $$module"; \
	  go -C $$module mod tidy -diff || failed="$$failed $$module"; \
	done; \
	if [ -n "$$failed" ]; then echo "verify: run go mod tidy in:$$failed" >&2; exit 1; fi

.PHONY: verify-crds
verify-crds: generate
	@for crd in config/crd/bases/*.yaml; do \
	  bytes=$$(wc -c < "$$crd"); \
	  if [ "$$bytes" -ge $(CRD_LIMIT) ]; then echo "verify: $$crd has $$bytes bytes; kubectl apply takes less than $(CRD_LIMIT)" >&2; failed=1; fi; \
	done; \
	[ -z "$$failed" ]

.PHONY: verify-scripts
verify-scripts:
	@for script in $$(git ls-files -co --exclude-standard '*.sh'); do \
	  echo "verify: sh -n $$script"; sh -n "$$script"; \
	done
	@if command -v bash >/dev/null; then bash -n .ci/run; fi
