package house_test

import (
	"bytes"
	"errors"
	"fmt"
	"go/ast"
	"go/build"
	"go/format"
	"go/token"
	"go/types"
	"io"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

const (
	maxLines = 60  // of a function
	p90Lines = 40  // nine of ten functions are no longer
	maxWidth = 140 // characters in a line of what is no test
)

// reporter takes an offence: where, and what to do instead.
type reporter func(at token.Position, format string, args ...any)

// rules are all rules by name.
var rules = map[string]func(*tree, reporter){
	"imports":     checkImports,
	"members":     checkMembers,
	"unverified":  checkUnverified,
	"goroutines":  checkGoroutines,
	"programs":    checkPrograms,
	"map order":   checkMapOrder,
	"one build":   checkOneBuild,
	"docs":        checkDocs,
	"format":      checkFormat,
	"length":      checkLength,
	"length p90":  checkP90,
	"width":       checkWidth,
	"leftovers":   checkLeftovers,
	"the machine": checkMachine,
}

// judge returns the complaints of one rule, each beginning with file and line.
func judge(t *tree, check func(*tree, reporter)) []string {
	var complaints []string
	check(t, func(at token.Position, format string, args ...any) {
		complaints = append(complaints, fmt.Sprintf("%s:%d: %s", at.Filename, at.Line, fmt.Sprintf(format, args...)))
	})
	slices.Sort(complaints)
	return complaints
}

// isStd tells the standard library from modules: a module's first element is a host, or ours.
func isStd(name string) bool {
	first, _, _ := strings.Cut(name, "/")
	return first != module && !strings.Contains(first, ".")
}

// listed tells whether a list of packages and modules holds an import.
func listed(list []string, name string) bool {
	return slices.ContainsFunc(list, func(entry string) bool {
		return name == entry || !strings.HasPrefix(entry, module+"/") && strings.HasPrefix(name, entry+"/")
	})
}

func checkImports(t *tree, report reporter) {
	for _, s := range t.sources {
		if _, ok := rooms[s.dir()]; !ok {
			report(t.fset.Position(s.Package), "package %s has no room: put the file into a package that has, or name in the "+
				"table of house_test.go what the new package is banned from", s.dir())
			continue
		}
		for _, spec := range s.Imports {
			if why := refused(s, spec); why != "" {
				report(t.fset.Position(spec.Pos()), "%s: %s", spec.Path.Value, why)
			}
		}
	}
}

// refused says why a file may not import this, or nothing.
func refused(s *source, spec *ast.ImportSpec) string {
	name, _ := strconv.Unquote(spec.Path.Value)
	room := s.room()
	switch {
	case spec.Name != nil && spec.Name.Name == ".":
		return "no import without a name: the other rules would not see what is used"
	case name == "C":
		return "no C: meantime builds without a C compiler"
	case name == "unsafe":
		if !room.unsafe {
			return "not here: a system call that needs it belongs in netproto/udp or sysclock"
		}
	case s.isTest():
		if !isStd(name) && !listed(testImports, name) && !listed(room.imports, name) && !strings.HasPrefix(name, module+"/") {
			return "no library of the tests (testImports in house_test.go)"
		}
	case !isStd(name):
		if !listed(room.imports, name) {
			return "not in this package's room (rooms in house_test.go): hand the value in, or move the code"
		}
	case strings.HasPrefix(name, "testing"):
		return "only in tests"
	case room.pure && !slices.Contains(pureStd, name) && !slices.Contains(room.std, name):
		return "not in a pure package: take what it would give as an argument, and return what should be done as an effect"
	}
	return ""
}

// imported maps the names under which a file knows its imports to their paths.
func imported(s *source) map[string]string {
	names := map[string]string{}
	for _, spec := range s.Imports {
		name, _ := strconv.Unquote(spec.Path.Value)
		if spec.Name != nil {
			names[spec.Name.Name] = name
			continue
		}
		local := path.Base(name)
		if strings.Trim(local, "v0123456789") == "" { // math/rand/v2 is rand
			local = path.Base(path.Dir(name))
		}
		names[local] = name
	}
	return names
}

// member is the path and the name when an expression is a member of an imported package, such as "time" and "Now".
func member(names map[string]string, node ast.Node) (pkg, name string) {
	selector, ok := node.(*ast.SelectorExpr)
	if !ok {
		return "", ""
	}
	if x, ok := selector.X.(*ast.Ident); ok {
		return names[x.Name], selector.Sel.Name
	}
	return "", ""
}

// pureMembers is all that a pure package may use of a package that could break purity, and what to do instead.
var pureMembers = map[string]struct {
	allowed *regexp.Regexp
	instead string
}{
	"time": {regexp.MustCompile(`^(Duration|Nanosecond|Microsecond|Millisecond|Second|Minute|Hour|ParseDuration)$`),
		"take the instant as an argument, return when to be called again, and leave time.Time to the edges"},
	"math/rand/v2": {regexp.MustCompile(`^(Rand|Source)$`), "take a *rand.Rand as an argument"},
	"fmt":          {regexp.MustCompile(`^(Append|Sprint|Fprint|Errorf|Stringer|Formatter|GoStringer|State)`), "return the text"},
}

var (
	rngMakers = regexp.MustCompile(`^(New|NewPCG|NewChaCha8)$`)
	printers  = map[string]*regexp.Regexp{
		"fmt": regexp.MustCompile(`^(Print|Scan)`),
		"log": regexp.MustCompile(`^(Print|Fatal|Panic)`),
		"os":  regexp.MustCompile(`^(Exit|Stdin|Stdout|Stderr)$`),
	}
)

func checkMembers(t *tree, report reporter) {
	for _, s := range t.product() {
		room, names := s.room(), imported(s)
		prints := room.prints == "*" || room.prints == path.Base(s.path)
		ast.Inspect(s.File, func(node ast.Node) bool {
			if call, ok := node.(*ast.CallExpr); ok && !prints {
				if id, ok := call.Fun.(*ast.Ident); ok && (id.Name == "print" || id.Name == "println") {
					report(t.fset.Position(id.Pos()), "%s is for debugging: return the text", id.Name)
				}
			}
			pkg, name := member(names, node)
			if pkg == "" {
				return true
			}
			at := t.fset.Position(node.Pos())
			if rule, ok := pureMembers[pkg]; ok && room.pure && !rule.allowed.MatchString(name) &&
				!(pkg == "math/rand/v2" && room.seeds && rngMakers.MatchString(name)) {
				report(at, "%s.%s in a pure package: %s", pkg, name, rule.instead)
			} else if p := printers[pkg]; p != nil && p.MatchString(name) && !prints {
				report(at, "%s.%s: return the text or the error; only cmd/meantime/ui.go prints and exits", pkg, name)
			}
			if pkg == "meantime/sysclock" && s.dir() == "cmd/meantime" && !strings.HasPrefix(name, "Err") {
				report(at, "sysclock.%s: a command knows the errors of sysclock and nothing else; the daemon has the clock", name)
			}
			return true
		})
	}
}

// onlookers may look into packets that nobody has verified: they show, and obey nothing.
var onlookers = regexp.MustCompile(`^(daemon/sim/|daemon/(demo|decode)\.go$)`)

// checkUnverified demands that a packet goes through a ring before anything of it is used.
func checkUnverified(t *tree, report reporter) {
	for _, s := range t.product() {
		names := imported(s)
		ast.Inspect(s.File, func(node ast.Node) bool {
			pkg, name := member(names, node)
			if pkg == "meantime/netproto" && (name == "Open" || name == "Inspect" && !onlookers.MatchString(s.path)) {
				report(t.fset.Position(node.Pos()), "netproto.%s takes anybody's packet: open it with the Ring of the group", name)
			}
			return true
		})
	}
}

func checkGoroutines(t *tree, report reporter) {
	for _, s := range t.product() {
		room := s.room()
		ast.Inspect(s.File, func(node ast.Node) bool {
			what := ""
			switch node := node.(type) {
			case *ast.GoStmt:
				what = "go statement"
			case *ast.CallExpr:
				if method, ok := node.Fun.(*ast.SelectorExpr); ok && method.Sel.Name == "Go" { // of a sync.WaitGroup
					what = "call of Go"
				}
			}
			if what != "" && !room.goroutines {
				report(t.fset.Position(node.Pos()), "%s: return what should run; goroutines belong to daemon", what)
				return true
			}
			switch node.(type) {
			case *ast.SelectStmt:
				what = "select"
			case *ast.ChanType:
				what = "channel"
			}
			if what != "" && room.pure {
				report(t.fset.Position(node.Pos()), "%s in a pure package: one call in, one value out; daemon has the channels", what)
			}
			return true
		})
	}
}

// starters start another program, or put it in this one's place.
var starters = regexp.MustCompile(`^(Exec|ForkExec|StartProcess)$`)

// checkPrograms keeps the product from shelling out: what it needs to know it asks the system for. The one program that it may put in
// its own place is itself, in daemon/confine.
func checkPrograms(t *tree, report reporter) {
	for _, s := range t.product() {
		if s.room().programs {
			continue
		}
		for _, spec := range s.Imports {
			if spec.Path.Value == `"os/exec"` {
				report(t.fset.Position(spec.Pos()), "os/exec: no shelling out; ask the system by a call, or read what it shows in a file")
			}
		}
		names := imported(s)
		ast.Inspect(s.File, func(node ast.Node) bool {
			pkg, name := member(names, node)
			if system := pkg == "syscall" || pkg == "os" || strings.HasPrefix(pkg, "golang.org/x/sys/"); !system || !starters.MatchString(name) {
				return true
			}
			if s.dir() != "daemon/confine" || name != "Exec" {
				report(t.fset.Position(node.Pos()), "%s.%s: no program but meantime itself runs in the product, as daemon/confine starts it again",
					path.Base(pkg), name)
			}
			return true
		})
	}
}

// checkMapOrder finds where the order of a map, which differs from run to run, could get out of a pure package.
func checkMapOrder(t *tree, report reporter) {
	const instead = "walk a slice, or slices.Sorted(maps.Keys(m))"
	for dir, sources := range packages(t.product()) {
		if !rooms[dir].pure {
			continue
		}
		known := typesOf(t, dir, sources, report)
		for _, s := range sources {
			names, sorted := imported(s), map[ast.Node]bool{}
			ast.Inspect(s.File, func(node ast.Node) bool {
				if loop, ok := node.(*ast.RangeStmt); ok && hasMap(known[loop.X].Type) {
					report(t.fset.Position(node.Pos()), "range over a map: %s", instead)
				}
				if call, ok := node.(*ast.CallExpr); ok && len(call.Args) != 0 {
					if pkg, name := member(names, call.Fun); pkg == "slices" && name == "Sorted" {
						if argument, ok := call.Args[0].(*ast.CallExpr); ok {
							sorted[argument.Fun] = true
						}
					}
				}
				pkg, name := member(names, node)
				if pkg == "maps" && slices.Contains([]string{"All", "Keys", "Values"}, name) && !sorted[node] {
					report(t.fset.Position(node.Pos()), "maps.%s has no order: %s", name, instead)
				}
				return true
			})
		}
	}
}

// typesOf checks the types of a package and returns those of its expressions.
func typesOf(t *tree, dir string, sources []*source, report reporter) map[ast.Expr]types.TypeAndValue {
	info := types.Info{Types: map[ast.Expr]types.TypeAndValue{}}
	config := types.Config{Importer: t.importer, Error: func(err error) {
		if bad, ok := errors.AsType[types.Error](err); ok {
			report(t.fset.Position(bad.Pos), "cannot look for the order of maps: %s", bad.Msg)
		}
	}}
	var files []*ast.File
	for _, s := range sources {
		files = append(files, s.File)
	}
	_, _ = config.Check(module+"/"+dir, t.fset, files, &info) // what it finds was reported
	return info.Types
}

// hasMap tells whether a type is a map, or a type parameter that a map may stand for.
func hasMap(t types.Type) bool {
	if t == nil {
		return false
	}
	switch u := t.Underlying().(type) {
	case *types.Map:
		return true
	case *types.Interface:
		for embedded := range u.EmbeddedTypes() {
			if union, ok := embedded.(*types.Union); ok {
				for term := range union.Terms() {
					if hasMap(term.Type()) {
						return true
					}
				}
			} else if hasMap(embedded) {
				return true
			}
		}
	}
	return false
}

// checkOneBuild keeps operating systems out of pure packages.
func checkOneBuild(t *tree, report reporter) {
	constraint := regexp.MustCompile(`(?m)^//go:build `)
	for _, s := range t.product() {
		if !s.room().pure {
			continue
		}
		for system, goarch := range map[string]string{"linux": "amd64", "windows": "arm64"} { // a name that fits both has no suffix
			context := build.Context{GOOS: system, GOARCH: goarch, Compiler: "gc", OpenFile: func(string) (io.ReadCloser, error) {
				return io.NopCloser(bytes.NewReader(s.text)), nil
			}}
			if fits, err := context.MatchFile("", path.Base(s.path)); !fits || err != nil || constraint.Match(s.text) {
				report(t.fset.Position(s.Package), "a build constraint in a pure package: it must be the same everywhere")
				break
			}
		}
	}
}

func checkDocs(t *tree, report reporter) {
	for dir, sources := range packages(t.sources) {
		product := slices.DeleteFunc(slices.Clone(sources), (*source).isTest)
		if len(product) != 0 {
			sources = product
		}
		if !slices.ContainsFunc(sources, func(s *source) bool { return s.Doc != nil }) {
			report(t.fset.Position(sources[0].Package), "package %s has no comment: say what it is for and what it is banned from", dir)
		}
		for _, s := range product {
			if s.Name.Name == "main" {
				continue
			}
			for _, decl := range s.Decls {
				for _, name := range undocumented(decl) {
					report(t.fset.Position(name.Pos()), "%s has no comment: say what it does, in the units it does it", name.Name)
				}
			}
		}
	}
}

// undocumented are the exported names of a declaration that no comment explains.
func undocumented(decl ast.Decl) []*ast.Ident {
	var names []*ast.Ident
	switch decl := decl.(type) {
	case *ast.FuncDecl:
		if decl.Doc == nil && (decl.Recv == nil || ast.IsExported(receiver(decl))) {
			names = append(names, decl.Name)
		}
	case *ast.GenDecl:
		for _, spec := range decl.Specs {
			switch spec := spec.(type) {
			case *ast.TypeSpec:
				if decl.Doc == nil && spec.Doc == nil {
					names = append(names, spec.Name)
				}
			case *ast.ValueSpec:
				if decl.Doc == nil && spec.Doc == nil && spec.Comment == nil {
					names = append(names, spec.Names...)
				}
			}
		}
	}
	return slices.DeleteFunc(names, func(name *ast.Ident) bool { return !name.IsExported() })
}

// receiver is the name of a method's type.
func receiver(method *ast.FuncDecl) string {
	name := ""
	ast.Inspect(method.Recv.List[0].Type, func(node ast.Node) bool {
		if id, ok := node.(*ast.Ident); ok && name == "" {
			name = id.Name
		}
		return name == ""
	})
	return name
}

func checkFormat(t *tree, report reporter) {
	for _, s := range t.sources {
		formatted, err := format.Source(s.text)
		if err == nil && bytes.Equal(formatted, s.text) {
			continue
		}
		line := 1
		for i, b := range s.text {
			if i >= len(formatted) || formatted[i] != b {
				break
			}
			if b == '\n' {
				line++
			}
		}
		report(token.Position{Filename: s.path, Line: line}, "not as gofmt writes it: gofmt -w %s", s.path)
	}
}

// function is a function and its length in lines, from func to the last brace.
type function struct {
	at    token.Position
	name  string
	lines int
}

// functions are all functions that are no tests, but not those inside another one.
func functions(t *tree) []function {
	var found []function
	for _, s := range t.product() {
		ast.Inspect(s.File, func(node ast.Node) bool {
			name := "a function without a name"
			switch node := node.(type) {
			case *ast.FuncDecl:
				name = node.Name.Name
			case *ast.FuncLit:
			default:
				return true
			}
			at := t.fset.Position(node.Pos())
			if decl, ok := node.(*ast.FuncDecl); ok {
				at = t.fset.Position(decl.Type.Func)
			}
			found = append(found, function{at, name, t.fset.Position(node.End()).Line - at.Line + 1})
			return false
		})
	}
	return found
}

func checkLength(t *tree, report reporter) {
	for _, f := range functions(t) {
		if f.lines > maxLines {
			report(f.at, "%s has %d lines, %d at most: split it where its comments do", f.name, f.lines, maxLines)
		}
	}
}

func checkP90(t *tree, report reporter) {
	all := functions(t)
	slices.SortStableFunc(all, func(a, b function) int { return a.lines - b.lines })
	if len(all) == 0 || all[(len(all)*9+9)/10-1].lines <= p90Lines {
		return
	}
	for _, f := range all {
		if f.lines > p90Lines {
			report(f.at, "%s has %d lines, and of %d functions more than a tenth has over %d: shorten some", f.name, f.lines, len(all), p90Lines)
		}
	}
}

// checkLines reports the lines of text files that offend.
func checkLines(t *tree, report reporter, offence func(name, line string) string) {
	for name, text := range t.texts {
		number := 0
		for line := range strings.Lines(string(text)) {
			number++
			if why := offence(name, strings.TrimSuffix(line, "\n")); why != "" {
				report(token.Position{Filename: name, Line: number}, "%s", why)
			}
		}
	}
}

func checkWidth(t *tree, report reporter) {
	code := regexp.MustCompile(`\.(go|c|s|sh)$|^\.ci/`)
	checkLines(t, report, func(name, line string) string {
		width := utf8.RuneCountInString(line)
		if width <= maxWidth || !code.MatchString(name) || strings.HasSuffix(name, "_test.go") {
			return ""
		}
		return fmt.Sprintf("%d characters wide, %d at most: break it", width, maxWidth)
	})
}

func checkLeftovers(t *tree, report reporter) {
	word := regexp.MustCompile(`\b(` + "TO" + "DO|FIX" + "ME|XX" + `X)\b`)
	checkLines(t, report, func(_, line string) string {
		if found := word.FindString(line); found != "" {
			return found + ": do it now, or write in DESIGN.md why not"
		}
		return ""
	})
}

// checkMachine keeps out what is true on one machine only: folders of somebody, and hosts that packages come from.
func checkMachine(t *tree, report reporter) {
	folder := regexp.MustCompile(`(^|[^\w./-])/(home|Users|root|work|workspace|builds)/[\w.-]|[A-Za-z]:\\Users\\`)
	host := regexp.MustCompile(`(proxy|sum|index)\.golang\b|\bgoproxy\.|(deb|security)\.debian\b|registry\.npmjs|\bpypi\.org`)
	checkLines(t, report, func(_, line string) string {
		if found := folder.FindString(line); found != "" {
			return strings.TrimSpace(found) + "…: a path of one machine; make it relative, or an environment variable"
		}
		if found := host.FindString(line); found != "" {
			return found + ": where packages come from is set on the machine that builds"
		}
		return ""
	})
}
