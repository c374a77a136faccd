// Package house_test holds the rules of the house, for the whole module: who may import whom, what a pure package
// must not do, and how the code is written. The rules are in house_rules_test.go; house_planted_test.go plants
// an offence against each and demands that it is found.
package house_test

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "meantime"

// room is what a package may do. Everything that it does not name is forbidden.
type room struct {
	imports    []string // of this module a package, of another a module with all its packages
	pure       bool     // the same inputs give the same outputs: no clock, no I/O, no goroutine, no order of a map
	std        []string // pure: of the standard library, beside pureStd
	seeds      bool     // pure: may make a *rand.Rand of a seed
	goroutines bool
	unsafe     bool
	prints     string // the file that may print and exit; "*" is any
	programs   bool   // may start other programs
}

// rooms are the arrows and the walls. A package must buy a ban, such as "no socket"; otherwise it is a file of
// another package, and needs no line here.
var rooms = map[string]room{
	"": {}, // these tests
	"cmd/meantime": {
		imports: []string{"meantime/cmd/picture", "meantime/configs", "meantime/daemon", "meantime/daemon/control", "meantime/daemon/service",
			"meantime/daemon/doctor", "meantime/daemon/sim", "meantime/sysclock", "github.com/spf13/cobra", "github.com/spf13/pflag",
			"golang.org/x/term"},
		prints: "ui.go",
	},
	"cmd/lab": {
		imports: []string{"meantime/cmd/picture", "meantime/daemon/control", "meantime/daemon/node", "meantime/daemon/sim", "meantime/netproto",
			"meantime/sysclock", "github.com/spf13/cobra", "github.com/spf13/pflag", "golang.org/x/sys"},
		goroutines: true, unsafe: true, prints: "*", programs: true, // a test kit: nothing of it is installed
	},
	"cmd/picture": {imports: []string{"github.com/go-analyze/charts"}},
	"configs":     {imports: []string{"gopkg.in/yaml.v3"}},
	"daemon": {
		imports: []string{"meantime/configs", "meantime/daemon/confine", "meantime/daemon/control", "meantime/daemon/metrics", "meantime/daemon/node",
			"meantime/daemon/page", "meantime/netproto", "meantime/netproto/udp", "meantime/sysclock", "golang.org/x/net", "golang.org/x/sys"},
		goroutines: true,
	},
	"daemon/berkeley": {pure: true},
	"daemon/confine": {
		imports: []string{"github.com/elastic/go-seccomp-bpf", "github.com/landlock-lsm/go-landlock", "golang.org/x/net", "golang.org/x/sys",
			"kernel.org/pub/linux/libs/security/libcap/cap"},
		unsafe: true,
	},
	"daemon/control": {}, // a client of the daemon's has nothing of the daemon in it
	"daemon/doctor": { // looks on, and starts neither a goroutine nor a program
		imports: []string{"meantime/configs", "meantime/daemon", "meantime/daemon/control", "meantime/netproto", "meantime/netproto/udp",
			"meantime/sysclock", "golang.org/x/sys"},
	},
	"daemon/election": {pure: true},
	"daemon/service": { // no socket, no clock, no node: what a running daemon has no use for
		imports:    []string{"meantime/configs", "meantime/packaging", "github.com/kardianos/service", "golang.org/x/sys"},
		goroutines: true, programs: true, unsafe: true, // Windows' service manager takes structures that x/sys has no calls for
	},
	"daemon/servo":   {pure: true},
	"daemon/metrics": {imports: []string{"meantime/daemon/control", "github.com/prometheus/client_golang"}}, // no socket, no node
	"daemon/node": {
		imports: []string{"meantime/daemon/berkeley", "meantime/daemon/election", "meantime/daemon/servo", "meantime/netproto"},
		pure:    true,
	},
	"daemon/node/model": {unsafe: true},                                 // tests only: they copy nodes
	"daemon/page":       {imports: []string{"meantime/daemon/control"}}, // it is handed a node's samples and knows no node
	"daemon/sim": {
		imports: []string{"meantime/daemon/node", "meantime/netproto", "meantime/sysclock"},
		pure:    true, std: []string{"container/heap"}, seeds: true,
	},
	"netproto":     {pure: true},
	"netproto/udp": {imports: []string{"meantime/netproto", "golang.org/x/net", "golang.org/x/sys"}, unsafe: true},
	"packaging":    {},
	"sysclock":     {imports: []string{"golang.org/x/sys"}, unsafe: true},
}

// testImports are the modules that any test may import.
var testImports = []string{
	"github.com/google/go-cmp", "github.com/rogpeppe/go-internal", "go.uber.org/goleak", "golang.org/x/net",
	"golang.org/x/sys", "pgregory.net/rapid",
}

// pureStd is what a pure package may import of the standard library: nothing here reads a clock, a file, a socket or
// the machine. fmt, time, maps and math/rand/v2 can; checkMembers bans what does.
var pureStd = []string{
	"bytes", "cmp", "crypto/hkdf", "crypto/hmac", "crypto/sha256", "crypto/subtle", "encoding", "encoding/binary", "encoding/hex", "errors",
	"fmt", "hash", "hash/crc32", "hash/fnv", "io", "iter", "maps", "math", "math/bits", "math/rand/v2", "net/netip",
	"slices", "sort", "strconv", "strings", "time", "unicode", "unicode/utf8",
}

// source is a Go file, of whatever operating system.
type source struct {
	*ast.File
	path string // slashes, relative to the module
	text []byte
}

func (s *source) dir() string {
	if dir := path.Dir(s.path); dir != "." {
		return dir
	}
	return ""
}

func (s *source) room() room   { return rooms[s.dir()] }
func (s *source) isTest() bool { return strings.HasSuffix(s.path, "_test.go") }

// tree is what the rules look at.
type tree struct {
	fset     *token.FileSet
	sources  []*source         // by path
	texts    map[string][]byte // every file that holds text, Go or not
	importer types.Importer
}

// newTree parses the Go files among the texts.
func newTree(texts map[string][]byte, lookup func(string) (io.ReadCloser, error)) (*tree, error) {
	t := &tree{fset: token.NewFileSet(), texts: texts}
	t.importer = importer.ForCompiler(t.fset, "gc", lookup)
	for name, text := range texts {
		if path.Ext(name) != ".go" {
			continue
		}
		file, err := parser.ParseFile(t.fset, name, text, parser.ParseComments)
		if err != nil {
			return nil, err
		}
		t.sources = append(t.sources, &source{File: file, path: name, text: text})
	}
	slices.SortFunc(t.sources, func(a, b *source) int { return cmp.Compare(a.path, b.path) })
	return t, nil
}

// product are the sources that are no tests.
func (t *tree) product() []*source {
	return slices.DeleteFunc(slices.Clone(t.sources), (*source).isTest)
}

// packages are the sources by directory.
func packages(sources []*source) map[string][]*source {
	found := map[string][]*source{}
	for _, s := range sources {
		found[s.dir()] = append(found[s.dir()], s)
	}
	return found
}

// readTexts reads the files that a commit could hold: no hidden folder but .ci, no module of its own, nothing binary.
func readTexts(root string) (map[string][]byte, error) {
	texts := map[string][]byte{}
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || name == root {
			return err
		}
		if entry.IsDir() {
			_, err := os.Stat(filepath.Join(name, "go.mod"))
			if hidden := strings.HasPrefix(entry.Name(), "."); err == nil || hidden && entry.Name() != ".ci" {
				return fs.SkipDir
			}
			return nil
		}
		if !entry.Type().IsRegular() || entry.Name() == ".git" { // a file in a second work tree
			return nil
		}
		text, err := os.ReadFile(name)
		if err != nil || bytes.IndexByte(text, 0) >= 0 {
			return err
		}
		relative, err := filepath.Rel(root, name)
		texts[filepath.ToSlash(relative)] = text
		return err
	})
	return texts, err
}

// compiled tells where the types of the packages are that the pure ones import, the standard library's and ours.
func compiled(t *testing.T) func(string) (io.ReadCloser, error) {
	t.Helper()
	args := []string{"list", "-export", "-deps", "-f", "{{if .Export}}{{.ImportPath}}\t{{.Export}}{{end}}", "maps"}
	for dir, room := range rooms {
		if room.pure {
			args = append(args, "./"+dir)
		}
	}
	out, err := exec.Command("go", args...).Output()
	if err != nil {
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			out = exit.Stderr
		}
		t.Fatalf("go list: %v\n%s", err, out)
	}
	files := map[string]string{}
	for line := range strings.Lines(string(out)) {
		name, file, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		files[name] = file
	}
	return func(name string) (io.ReadCloser, error) {
		if files[name] == "" {
			return nil, fmt.Errorf("%s: no pure package of the table imports it", name)
		}
		return os.Open(files[name])
	}
}

// TestHouse holds every rule against the tree as it stands.
func TestHouse(t *testing.T) {
	texts, err := readTexts(".")
	if err != nil {
		t.Fatal(err)
	}
	house, err := newTree(texts, compiled(t))
	if err != nil {
		t.Fatal(err)
	}
	for dir := range rooms {
		if packages(house.sources)[dir] == nil {
			t.Errorf("the table of house_test.go has a room for %s, which is gone", dir)
		}
	}
	for name, check := range rules {
		t.Run(name, func(t *testing.T) {
			for _, complaint := range judge(house, check) {
				t.Error(complaint)
			}
		})
	}
}
