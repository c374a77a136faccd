package main

import (
	"archive/tar"
	"archive/zip"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// archive makes a zip for Windows and a tar for every other system: one folder with the program and what is to be read.
func (b *builder) archive(p product, program, out string) (string, error) {
	folder := fmt.Sprintf("meantime-%s-%s-%s", b.release, p.kind, p.arch)
	name, write, own := folder+".tar.gz", writeTar, file{path: "meantime", source: program, mode: 0o755}
	if p.kind == "windows" {
		name, write, own.path = folder+".zip", writeZip, "meantime.exe"
	}
	licences, err := b.licences(p.system(), p.arch)
	if err != nil {
		return "", err
	}
	source, err := b.stage(folder+"/third-party.txt", licences)
	if err != nil {
		return "", err
	}
	content := append([]file{own, {path: "third-party.txt", source: source, mode: 0o644}}, b.texts...)
	content = slices.DeleteFunc(content, func(f file) bool { // Windows has no man, and its configuration paths are others
		return p.kind == "windows" && strings.Contains(f.path, "/") || f.path == "meantime.yaml"
	})
	for i := range content {
		content[i].path = folder + "/" + content[i].path
	}
	target, err := os.Create(filepath.Join(out, name))
	if err != nil {
		return "", err
	}
	defer target.Close()
	if err := write(target, content, b.release.time); err != nil {
		return "", err
	}
	return name, target.Close()
}

func writeTar(out io.Writer, content []file, moment time.Time) error {
	packed, err := gzip.NewWriterLevel(out, gzip.BestCompression)
	if err != nil {
		return err
	}
	w := tar.NewWriter(packed)
	for _, f := range content {
		text, err := os.ReadFile(f.source)
		if err != nil {
			return err
		}
		header := &tar.Header{Name: f.path, Mode: int64(f.mode), Size: int64(len(text)), ModTime: moment, Uname: "root", Gname: "root"}
		if err := w.WriteHeader(header); err != nil {
			return err
		}
		if _, err := w.Write(text); err != nil {
			return err
		}
	}
	if err := w.Close(); err != nil {
		return err
	}
	return packed.Close()
}

func writeZip(out io.Writer, content []file, moment time.Time) error {
	w := zip.NewWriter(out)
	for _, f := range content {
		text, err := os.ReadFile(f.source)
		if err != nil {
			return err
		}
		header := &zip.FileHeader{Name: f.path, Method: zip.Deflate, Modified: moment}
		header.SetMode(f.mode)
		part, err := w.CreateHeader(header)
		if err != nil {
			return err
		}
		if _, err := part.Write(text); err != nil {
			return err
		}
	}
	return w.Close()
}

// writeSums writes the checksums of all that is there of a version, by whichever run it was built, for `sha256sum --check`.
func writeSums(out string, r release) error {
	entries, err := os.ReadDir(out) // in the order of their names
	if err != nil {
		return err
	}
	var sums strings.Builder
	for _, entry := range entries {
		name := entry.Name()
		if entry.IsDir() || !r.owns(name) {
			continue
		}
		text, err := os.ReadFile(filepath.Join(out, name))
		if err != nil {
			return err
		}
		fmt.Fprintf(&sums, "%x  %s\n", sha256.Sum256(text), name)
	}
	return os.WriteFile(filepath.Join(out, "SHA256SUMS"), []byte(sums.String()), 0o644)
}
