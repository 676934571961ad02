VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
TOOLS   := $(CURDIR)/.tools
LINTER  := $(TOOLS)/golangci-lint-v2.15.0/golangci-lint
NFPM    := $(TOOLS)/nfpm-v2.45.0/nfpm

export PATH := $(PATH):$(TOOLS)/prometheus/usr/bin

.DEFAULT_GOAL := help
.PHONY: help build demo test race lint bench fuzz model install package clean

help: ## list what can be made
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

build: ## build bin/healml, one static binary
	CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=$(VERSION)" -o bin/healml ./cmd/healml

demo: build ## watch it train, serve, notice drift and heal, in under a minute
	bin/healml demo

test: build $(NFPM) ## run all tests; what they need beyond Go and python3 goes into .tools/
	scripts/test/tools.sh "$(TOOLS)"
	go vet ./...
	HEALML_PYTHON="$(TOOLS)/venv/bin/python" HEALML_PROMTOOL="$$(command -v promtool)" HEALML_NFPM="$(NFPM)" go test ./...

race: ## run the Go tests under the race detector (needs a C compiler)
	CGO_ENABLED=1 go test -race ./...

lint: $(LINTER) ## check style and the import rules
	$(LINTER) run

$(LINTER):
	GOBIN=$(@D) go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(patsubst golangci-lint-%,%,$(notdir $(@D)))

bench: ## run the Go benchmarks
	go test -run '^$$' -bench . -benchmem ./...

fuzz: ## fuzz each reader for 30 seconds
	scripts/test/fuzz.sh 30s

model: ## train exported_model/ on data/sales.csv, to the byte
	rm -rf exported_model
	go run ./cmd/healml --now 2025-01-01T06:00:00Z train data/sales.csv --target sales --time date

install: build ## install on this machine: binary, user, unit, crontab (as root)
	scripts/install.sh

package: build $(NFPM) ## build dist/healml_*.deb and .rpm
	scripts/package/build.sh $(NFPM) $(VERSION) dist

$(NFPM):
	GOBIN=$(@D) go install github.com/goreleaser/nfpm/v2/cmd/nfpm@$(patsubst nfpm-%,%,$(notdir $(@D)))

clean: ## remove what was built and fetched
	rm -rf bin dist .tools
