# What asks an online database, and is therefore no part of .ci/run: known vulnerabilities in what meantime links.
# `make vulncheck` in a checkout.
.PHONY: vulncheck
vulncheck:
	go run golang.org/x/vuln/cmd/govulncheck@v1.9.0 ./...
