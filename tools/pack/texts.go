package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
)

// write makes what the products of all systems hold: what the program says of itself, and documents of the checkout.
func (b *builder) write() error {
	program, err := b.program("linux", runtime.GOARCH)
	if err != nil {
		return err
	}
	for name, words := range map[string][]string{
		"completion/meantime.bash": {"completion", "bash"},
		"completion/meantime.zsh":  {"completion", "zsh"},
		"completion/meantime.fish": {"completion", "fish"},
		"meantime.yaml":            {"config", "print", "--reference"},
	} {
		text, err := output(exec.Command(program, words...))
		if err != nil {
			return err
		}
		if err := b.add(name, text); err != nil {
			return err
		}
	}
	return b.stageScripts()
}

// add puts a text into all products.
func (b *builder) add(name string, text []byte) error {
	source, err := b.stage("texts/"+name, text)
	b.texts = append(b.texts, file{path: name, source: source, mode: 0o644})
	return err
}

// stageScripts copies what packages run when they come and go.
func (b *builder) stageScripts() error {
	for _, kind := range packaged {
		scripts, err := os.ReadDir(filepath.Join(b.root, "packaging", kind))
		if err != nil {
			return err
		}
		for _, script := range scripts {
			text, err := os.ReadFile(filepath.Join(b.root, "packaging", kind, script.Name()))
			if err != nil {
				return err
			}
			if _, err := b.stage("packaging/"+kind+"/"+script.Name(), text); err != nil {
				return err
			}
		}
	}
	return nil
}
