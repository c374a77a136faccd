package house_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// mark stands on the lines that a rule must complain about.
const mark = "OFFENCE"

// planted is a file, or several, that offend against one rule on the marked lines and nowhere else.
type planted struct {
	rule  string
	files map[string]string
}

// one is a case of one file.
func one(rule, name, text string) planted { return planted{rule, map[string]string{name: text}} }

// lines is a function of so many lines.
func lines(name string, n int, comment string) string {
	return fmt.Sprintf("func %s() { // %s\n%s}\n", name, comment, strings.Repeat("\tprintln()\n", n-2))
}

var plantations = []planted{
	one("imports", "daemon/node/a.go", `package node

import (
	"context"  // OFFENCE
	"errors"
	"io/ioutil" // OFFENCE
	"log"      // OFFENCE
	"log/slog" // OFFENCE
	"math/rand" // OFFENCE
	"math/rand/v2"
	"net"         // OFFENCE
	"net/http"    // OFFENCE
	"net/netip"
	"os"          // OFFENCE
	"os/exec"     // OFFENCE
	"runtime"     // OFFENCE
	"sync"        // OFFENCE
	"sync/atomic" // OFFENCE
	"syscall"     // OFFENCE
	"crypto/rand" // OFFENCE
	"testing"     // OFFENCE
	"time"
	"unsafe" // OFFENCE

	"meantime/configs" // OFFENCE
	"meantime/daemon"  // OFFENCE
	"meantime/daemon/berkeley"
	"meantime/netproto"
	"meantime/netproto/udp" // OFFENCE
	"meantime/sysclock"     // OFFENCE

	"github.com/google/go-cmp/cmp" // OFFENCE
	"golang.org/x/sys/unix"        // OFFENCE
)
`),
	one("imports", "daemon/node/a_test.go", `package node

import (
	"os"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra" // OFFENCE
	"gopkg.in/yaml.v3"       // OFFENCE
	"meantime/sysclock"
)
`),
	one("imports", "daemon/berkeley/a.go", "package berkeley\n\nimport \"meantime/netproto\" // OFFENCE\n"),
	one("imports", "daemon/utils/a.go", "package utils // OFFENCE\n"),
	one("imports", "configs/a.go", "package configs\n\nimport (\n\t\"os\"\n\n\t\"gopkg.in/yaml.v3\"\n)\n"),
	one("imports", "netproto/udp/a_windows.go", `package udp

import (
	. "net" // OFFENCE
	"unsafe"

	"golang.org/x/net/ipv4"
	"golang.org/x/sys/windows"
	"golang.org/x/system" // OFFENCE

	"meantime/netproto"
	"meantime/netproto/codec" // OFFENCE
)
`),
	one("imports", "daemon/a_windows.go", `package daemon

import (
	"C"      // OFFENCE
	"unsafe" // OFFENCE

	"github.com/kardianos/service" // OFFENCE
	"gopkg.in/yaml.v3" // OFFENCE
	"meantime/configs"
	"meantime/daemon/service" // OFFENCE
	"meantime/daemon/sim" // OFFENCE
)
`),
	one("imports", "daemon/service/a_windows.go", `package service

import (
	"os/exec"

	"github.com/kardianos/service"
	"meantime/configs"
	"meantime/daemon" // OFFENCE
)
`),
	one("imports", "cmd/meantime/a.go", `package main

import (
	"github.com/kardianos/service" // OFFENCE
	"github.com/spf13/cobra"
	"meantime/daemon"
	"meantime/netproto" // OFFENCE
)
`),

	one("members", "daemon/servo/a.go", `package servo

import (
	"fmt"
	clock "time"
)

var later = clock.AfterFunc // OFFENCE

func wait(d clock.Duration) (t clock.Time) { // OFFENCE
	t = clock.Now()                                // OFFENCE
	d = clock.Since(t) + clock.Until(t)            // OFFENCE OFFENCE
	clock.Sleep(clock.Second)                      // OFFENCE
	<-clock.After(d)                               // OFFENCE
	_, _ = clock.NewTimer(d), clock.NewTicker(d)   // OFFENCE OFFENCE
	<-clock.Tick(d)                                // OFFENCE
	fmt.Println(fmt.Sprint(d), fmt.Errorf("%v", d)) // OFFENCE
	println(d)                                     // OFFENCE
	return t
}
`),
	one("members", "daemon/election/a.go", `package election

import "math/rand/v2"

func draw(r *rand.Rand) uint64 {
	r = rand.New(rand.NewPCG(1, 2)) // OFFENCE OFFENCE
	return r.Uint64() + rand.Uint64() // OFFENCE
}
`),
	one("members", "daemon/sim/a.go", `package sim

import "math/rand/v2"

func draw() uint64 {
	r := rand.New(rand.NewPCG(1, 2))
	return r.Uint64() + rand.Uint64() // OFFENCE
}
`),
	one("members", "daemon/a.go", `package daemon

import (
	"fmt"
	"log"
	"os"
	"time"
)

func leave(now time.Time) {
	fmt.Fprintln(os.Stderr, time.Since(now)) // OFFENCE
	fmt.Printf("%v", now)                    // OFFENCE
	log.Fatal(now)                           // OFFENCE
	os.Exit(1)                               // OFFENCE
}
`),
	one("members", "daemon/a_test.go", "package daemon\n\nimport \"os\"\n\nfunc leave() { os.Exit(1) }\n"),
	{"members", map[string]string{
		"cmd/meantime/ui.go":  "package main\n\nimport \"os\"\n\nfunc leave() { os.Exit(1) }\n",
		"cmd/meantime/run.go": "package main\n\nimport \"os\"\n\nfunc left() { os.Exit(1) } // OFFENCE\n",
		"cmd/meantime/main.go": "package main\n\nimport \"meantime/sysclock\"\n\n" +
			"var a, b = sysclock.ErrPermission, sysclock.Open // OFFENCE\n",
		"cmd/lab/main.go": "package main\n\nimport \"os\"\n\nfunc leave() { os.Exit(1) }\n",
	}},

	{"unverified", map[string]string{
		"daemon/driver.go":  "package daemon\n\nimport \"meantime/netproto\"\n\nvar a, b = netproto.Open, netproto.Inspect // OFFENCE OFFENCE\n",
		"daemon/demo.go":    "package daemon\n\nimport \"meantime/netproto\"\n\nvar c = netproto.Inspect\n",
		"daemon/sim/lie.go": "package sim\n\nimport \"meantime/netproto\"\n\nvar a, b = netproto.Inspect, netproto.Open // OFFENCE\n",
	}},

	one("goroutines", "daemon/node/a.go", `package node

type box struct{ news chan int } // OFFENCE

func (b box) wait() {
	go b.wait()   // OFFENCE
	go func() {}() // OFFENCE
	select {      // OFFENCE
	case <-b.news:
	}
}
`),
	{"goroutines", map[string]string{
		"daemon/a.go":        "package daemon\n\nfunc f() { go f() }\n",
		"configs/a.go":       "package configs\n\nfunc f() { go f() } // OFFENCE\n",
		"sysclock/a.go":      "package sysclock\n\nimport \"sync\"\n\nfunc f(w *sync.WaitGroup) { w.Go(nil) } // OFFENCE\n",
		"netproto/udp/a.go":  "package udp\n\nfunc f(c chan int) { select { case <-c: } }\n",
		"netproto/a_test.go": "package netproto\n\nfunc f() { go f() }\n",
		"cmd/lab/a.go":       "package main\n\nfunc f() { go f() }\n",
	}},

	{"programs", map[string]string{
		"daemon/a.go": `package daemon

import (
	"os"
	run "os/exec" // OFFENCE
	"syscall"

	"golang.org/x/sys/unix"
)

func start() {
	_ = run.Command("ps")
	_ = syscall.Exec("/bin/sh", nil, nil)            // OFFENCE
	_ = unix.Exec("/bin/sh", nil, nil)               // OFFENCE
	_, _ = syscall.ForkExec("/bin/sh", nil, nil)     // OFFENCE
	_, _ = os.StartProcess("/bin/sh", nil, nil)      // OFFENCE
	_, _ = os.Executable()
}
`,
		"daemon/confine/a.go": "package confine\n\nimport \"syscall\"\n\nvar a, b = syscall.Exec, syscall.ForkExec // OFFENCE\n",
		"cmd/lab/a.go":        "package main\n\nimport \"os/exec\"\n\nvar a = exec.Command\n",
		"daemon/a_test.go":    "package daemon\n\nimport \"os/exec\"\n\nvar a = exec.Command\n",
	}},

	{"map order", map[string]string{
		"daemon/node/peers.go": `package node

import (
	"maps"
	"slices"
)

type ids map[int]string

type table struct{ peers ids }

func (t table) walk() []int {
	for id := range t.peers { // OFFENCE
		_ = id
	}
	for range maps.Keys(t.peers) { // OFFENCE
	}
	order := slices.Collect(maps.Values(t.peers)) // OFFENCE
	for range order {
	}
	for range other() { // OFFENCE
	}
	for range slices.Sorted(maps.Keys(t.peers)) {
	}
	return slices.Sorted(maps.Keys(t.peers))
}

func any1[M ~map[int]V, V any](m M) {
	for range m { // OFFENCE
	}
}
`,
		"daemon/node/other.go": "package node\n\nfunc other() map[string]int { return nil }\n",
		"daemon/sim/a.go":      "package sim\n\nfunc f(m map[int]int) {\n\tfor range m { // OFFENCE\n\t}\n}\n",
		"netproto/a.go":        "package netproto\n\nfunc f() { for range unknown { } } // OFFENCE\n",
		"daemon/a.go":          "package daemon\n\nfunc f(m map[int]int) {\n\tfor range m {\n\t}\n}\n",
	}},

	{"one build", map[string]string{
		"netproto/a.go":         "package netproto\n",
		"netproto/b_windows.go": "package netproto // OFFENCE\n",
		"netproto/c_linux.go":   "package netproto // OFFENCE\n",
		"netproto/d.go":         "//go:build linux\n\npackage netproto // OFFENCE\n",
		"netproto/e_amd64.go":   "package netproto // OFFENCE\n",
		"sysclock/a_windows.go": "package sysclock\n",
	}},

	one("docs", "configs/a.go", `package configs // OFFENCE

type Config struct{ Name string } // OFFENCE

func (Config) Load()   {} // OFFENCE
func (*config) Load() {}
func Default()         {} // OFFENCE

// Known is explained.
func Known() {}

// The kinds.
const (
	First = iota
	Second
)

const (
	Third = iota // Third is explained.

	Fourth // explained
)

var Fifth, sixth = "OFFENCE", 0

type config struct{}
`),
	one("docs", "cmd/meantime/main.go", "// Command meantime.\npackage main\n\nfunc Run() {}\n"),
	one("docs", "daemon/sim/a_test.go", "package sim // OFFENCE\n"),

	one("format", "a.go", "package a\n\nvar a   = 1 // OFFENCE\n"),
	one("format", "a_linux.go", "package a\n\nvar a = 1\n"),
	one("format", "b.go", "package b\n\nfunc f() { // OFFENCE\r\n\tf()\r\n}\r\n"),

	one("length", "a.go", "package a\n\n"+lines("short", maxLines, "")+lines("long", maxLines+1, mark)),
	one("length", "b.go", "package b\n\nvar f = "+strings.Replace(lines("", maxLines+1, mark), "func ", "func", 1)),
	one("length", "a_test.go", "package a\n\n"+lines("long", maxLines+1, "")),

	one("length p90", "a.go", "package a\n\n"+lines("long", p90Lines+1, "")+strings.Repeat(lines("_", p90Lines, ""), 9)),
	one("length p90", "a.go", "package a\n\n"+lines("long", p90Lines+1, mark)+strings.Repeat(lines("_", p90Lines, ""), 8)),

	one("width", "a.go", "package a\n\n// "+strings.Repeat("µ", maxWidth-3)+"\n//"+strings.Repeat("µ", maxWidth-8)+mark+"\n"),
	one("width", "README.md", strings.Repeat("a", maxWidth+1)+"\n"),
	one("width", ".ci/run", strings.Repeat("a", maxWidth)+mark+"\n"),

	one("leftovers", "a.go", "package a\n\n// TO"+"DO: all. OFFENCE\n// FIX"+"ME OFFENCE\n// XX"+"X OFFENCE\n// XX"+"XXXX, TO"+"DOS\n"),
	one("leftovers", "README.md", "TO"+"DO OFFENCE\n"),

	one("the machine", "PROTOCOL.md", "see /ho"+"me/jo/x OFFENCE\nsee (/ro"+"ot/x) OFFENCE\nC:\\Us"+"ers\\Jo OFFENCE\n/dev/root, /usr/share/work/x, ~/x\n"),
	one("the machine", ".ci/run", "GOPROXY=https://proxy."+"golang.org OFFENCE\nhttps://go.dev, golang.org/x/sys\ndeb."+"debian.org OFFENCE\n"),
}

// TestPlanted demands that each rule finds what was planted, and nothing else.
func TestPlanted(t *testing.T) {
	lookup := compiled(t)
	tried := map[string]bool{}
	for i, plantation := range plantations {
		t.Run(fmt.Sprintf("%s %d", plantation.rule, i), func(t *testing.T) {
			texts := map[string][]byte{}
			var want []string
			for name, text := range plantation.files {
				texts[name] = []byte(text)
				for i, line := range strings.Split(text, "\n") {
					for range strings.Count(line, mark) {
						want = append(want, fmt.Sprintf("%s:%d", name, i+1))
					}
				}
			}
			planted, err := newTree(texts, lookup)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, complaint := range judge(planted, rules[plantation.rule]) {
				file, rest, _ := strings.Cut(complaint, ":")
				line, why, _ := strings.Cut(rest, ": ")
				if got = append(got, file+":"+line); len(why) < len("not so: but so") {
					t.Errorf("%s does not say what to do instead", complaint)
				}
			}
			slices.Sort(want)
			slices.Sort(got)
			if !slices.Equal(got, want) {
				t.Errorf("complaints at %q\nwant        at %q", got, want)
			}
			tried[plantation.rule] = tried[plantation.rule] || len(want) != 0
		})
	}
	for _, rule := range slices.Sorted(maps.Keys(rules)) {
		if !tried[rule] {
			t.Errorf("nothing was planted against %q", rule)
		}
	}
}
