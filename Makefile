# Packages for Linux, archives for Windows, macOS and FreeBSD, and their checksums, into dist/. `make packages ONLY=deb/amd64` builds one.
.PHONY: packages
packages:
	go -C tools run ./pack --only "$(ONLY)"

# What asks an online database, and is therefore no part of .ci/run: known vulnerabilities in what meantime links.
# `make vulncheck` in a checkout.
.PHONY: vulncheck
vulncheck:
	go run golang.org/x/vuln/cmd/govulncheck@v1.9.0 ./...
