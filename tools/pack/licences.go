package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// licenceName is how modules call the files that must go with what is built of them.
var licenceName = regexp.MustCompile(`(?i)^(licen[cs]e|copying|notice)([._-].*)?$`)

// licences returns the licences of all that a program for a system is linked from, which want to go with it.
func (b *builder) licences(system, arch string) ([]byte, error) {
	list, err := b.goTool(system, arch, "list", "-deps", "-f", "{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}}\t{{.Dir}}{{end}}{{end}}",
		"./cmd/meantime")
	if err != nil {
		return nil, err
	}
	goroot, err := b.goTool(system, arch, "env", "GOROOT", "GOVERSION")
	if err != nil {
		return nil, err
	}
	dir, version, _ := strings.Cut(strings.TrimSpace(string(goroot)), "\n")
	var text strings.Builder
	text.WriteString("The program meantime holds parts of the following, under the licences that stand below each.\n")
	modules := slices.Sorted(strings.Lines(string(list) + "Go " + version + "\t" + dir + "\n"))
	for _, line := range slices.Compact(modules) {
		module, dir, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		if err := addLicences(&text, module, dir); err != nil {
			return nil, err
		}
	}
	return []byte(text.String()), nil
}

// addLicences writes what a module's folder holds of licences. One without any may not be given on.
func addLicences(text *strings.Builder, module, dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	found := false
	for _, entry := range entries {
		if !entry.Type().IsRegular() || !licenceName.MatchString(entry.Name()) {
			continue
		}
		licence, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		if err != nil {
			return err
		}
		found = true
		fmt.Fprintf(text, "\n%s\n%s, %s\n\n%s\n", strings.Repeat("=", 79), module, entry.Name(), strings.TrimSpace(string(licence)))
	}
	if !found {
		return fmt.Errorf("%s has no licence: it may not be given on", module)
	}
	return nil
}

// copyright is what Debian wants to know of a package, in its own form, out of LICENSE.
func copyright(licence string) string {
	head, terms, _ := strings.Cut(licence, "\n\n")
	owner, terms, _ := strings.Cut(terms, "\n\n")
	var out strings.Builder
	fmt.Fprintf(&out, "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\nUpstream-Name: meantime\n"+
		"Comment: %s. Parts of other modules are linked into the program; their\n licences are in third-party.txt.gz beside this file.\n\n"+
		"Files: *\nCopyright: %s\nLicense: Expat\n", head, strings.TrimPrefix(owner, "Copyright (c) "))
	for line := range strings.SplitSeq(strings.TrimSpace(terms), "\n") {
		if line == "" {
			line = "."
		}
		out.WriteString(" " + line + "\n")
	}
	return out.String()
}
