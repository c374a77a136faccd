// Command pack builds what is installed: a package for each Linux format and processor, an archive for each other system, and
// their checksums. `make packages` runs it; the same commit gives the same bytes, whoever builds it.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

func main() {
	only := flag.String("only", "", "build these alone, such as deb/amd64 or deb,windows (default: all)")
	root := flag.String("root", "..", "the checkout")
	out := flag.String("out", "../dist", "folder to build into")
	version := flag.String("version", "", "version, such as v1.2.3 (default: what git says)")
	flag.Parse()
	if err := pack(*root, *out, *only, *version); err != nil {
		fmt.Fprintln(os.Stderr, "pack:", err)
		os.Exit(1)
	}
}

// product is one file to build.
type product struct {
	kind string // deb, rpm, apk; or the system that an archive is for
	arch string // as Go names it
}

func (p product) String() string { return p.kind + "/" + p.arch }

// packaged are the formats of packages; all of them are Linux'.
var packaged = []string{"deb", "rpm", "apk"}

func (p product) system() string {
	if slices.Contains(packaged, p.kind) {
		return "linux"
	}
	return p.kind
}

// products are all that is built. FreeBSD has no arm64: it is not among what is cross-built and vetted.
var products = []product{
	{"deb", "amd64"}, {"deb", "arm64"}, {"rpm", "amd64"}, {"rpm", "arm64"}, {"apk", "amd64"}, {"apk", "arm64"},
	{"windows", "amd64"}, {"windows", "arm64"}, {"darwin", "amd64"}, {"darwin", "arm64"}, {"freebsd", "amd64"},
}

// choose returns the products that a list of words names: deb/amd64, or deb for all of a kind. No list is all.
func choose(list string) ([]product, error) {
	if list == "" {
		return products, nil
	}
	var chosen []product
	for word := range strings.SplitSeq(list, ",") {
		before := len(chosen)
		for _, p := range products {
			if (word == p.kind || word == p.String()) && !slices.Contains(chosen, p) {
				chosen = append(chosen, p)
			}
		}
		if len(chosen) == before {
			return nil, fmt.Errorf("--only %s: %s is not built, or named twice; write some of %v", list, word, products)
		}
	}
	return chosen, nil
}

// prepare makes the folder for what is built. If all is, what another version left there goes.
func prepare(out, only string) error {
	var old []string
	var err error
	if only == "" {
		if old, err = filepath.Glob(filepath.Join(out, "meantime?[0-9]*")); err != nil {
			return err
		}
	}
	for _, path := range old {
		if err := os.Remove(path); err != nil {
			return err
		}
	}
	return os.MkdirAll(out, 0o755)
}

func pack(root, out, only, version string) error {
	if runtime.GOOS != "linux" {
		return errors.New("the manual pages come from the program itself, with Linux' paths: run it on Linux")
	}
	chosen, err := choose(only)
	if err != nil {
		return err
	}
	r, err := findRelease(root, version)
	if err != nil {
		return err
	}
	work, err := os.MkdirTemp("", "meantime-pack-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	b := &builder{root: root, work: work, release: r, programs: map[string]string{}}
	if err := b.write(); err != nil {
		return err
	}
	if err := prepare(out, only); err != nil {
		return err
	}
	for _, p := range chosen {
		name, err := b.build(p, out)
		if err != nil {
			return fmt.Errorf("%s: %w", p, err)
		}
		fmt.Println(name)
	}
	return writeSums(out, b.release)
}
