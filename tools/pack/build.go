package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// builder builds products of one release.
type builder struct {
	root, work string
	release    release
	programs   map[string]string // built already, by system and processor
	texts      []file            // what the products of all systems hold, but the program
}

// file is a file to be installed.
type file struct {
	path   string // where, absolute; of an archive, within it
	source string // where it lies now
	mode   os.FileMode
	config bool // an administrator's: kept when the package is upgraded
}

// stage writes a file into the working folder, to be packed from there, with the time of the release.
func (b *builder) stage(name string, text []byte) (string, error) {
	path := filepath.Join(b.work, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return "", err
	}
	if err := os.WriteFile(path, text, 0o644); err != nil {
		return "", err
	}
	return path, os.Chtimes(path, b.release.time, b.release.time)
}

// program builds meantime for a system, without C and without anything of this machine in it. Tables of symbols are left out: nobody
// debugs an installed program by them, and traces of a panic do not need them.
func (b *builder) program(system, arch string) (string, error) {
	target := system + "-" + arch
	if path := b.programs[target]; path != "" {
		return path, nil
	}
	path := filepath.Join(b.work, target, "meantime")
	_, err := b.goTool(system, arch, "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w -X main.version="+b.release.String(), "-o", path,
		"./cmd/meantime")
	b.programs[target] = path
	return path, err
}

// goTool runs go in the checkout for a system. What this machine's environment says about builds is set aside.
func (b *builder) goTool(system, arch string, args ...string) ([]byte, error) {
	command := exec.Command("go", args...)
	command.Dir = b.root
	command.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+system, "GOARCH="+arch, "GOFLAGS=", "GOAMD64=v1", "GOARM64=v8.0", "GOEXPERIMENT=",
		"GOWORK=off")
	return output(command)
}

// output runs a command and returns what it prints; an error holds its complaint.
func output(command *exec.Cmd) ([]byte, error) {
	var complaint strings.Builder
	command.Stderr = &complaint
	out, err := command.Output()
	if err != nil {
		err = fmt.Errorf("%s: %w\n%s", strings.Join(command.Args, " "), err, complaint.String())
	}
	return out, err
}

// build makes one product and returns the name of its file.
func (b *builder) build(p product, out string) (string, error) {
	program, err := b.program(p.system(), p.arch)
	if err != nil {
		return "", err
	}
	if p.system() == "linux" {
		return b.linuxPackage(p, program, out)
	}
	return b.archive(p, program, out)
}
