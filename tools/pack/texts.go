package main

import (
	"bytes"
	"compress/gzip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// write makes what the products of all systems hold: what the program says of itself, and documents of the checkout.
func (b *builder) write() error {
	program, err := b.program("linux", runtime.GOARCH)
	if err != nil {
		return err
	}
	for _, said := range []struct{ name, words string }{
		{"meantime.yaml", "config print --reference"},
		{"man/meantime.1", "manual"},
		{"man/meantime.yaml.5", "manual meantime.yaml"},
		{"completion/meantime.bash", "completion bash"},
		{"completion/meantime.zsh", "completion zsh"},
		{"completion/meantime.fish", "completion fish"},
	} {
		text, err := output(exec.Command(program, strings.Fields(said.words)...))
		if err != nil {
			return err
		}
		if err := b.add(said.name, text); err != nil {
			return err
		}
	}
	for _, name := range []string{"README.md", "SECURITY.md", "PROTOCOL.md", "CHANGELOG.md", "LICENSE"} {
		text, err := os.ReadFile(filepath.Join(b.root, name))
		if err != nil {
			return err
		}
		if err := b.add(name, text); err != nil {
			return err
		}
	}
	return nil
}

// add puts a text into all products.
func (b *builder) add(name string, text []byte) error {
	source, err := b.stage("texts/"+name, text)
	b.texts = append(b.texts, file{path: name, source: source, mode: 0o644})
	return err
}

// compressed is what gzip -9 -n makes of a text: Debian wants long documents so.
func compressed(text []byte) ([]byte, error) {
	var out bytes.Buffer
	w, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(text); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}
