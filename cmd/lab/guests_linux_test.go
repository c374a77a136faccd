package main

import (
	"context"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

const (
	// guestsFor ends the bed by itself, should a test forget it.
	guestsFor = 20 * time.Minute
	// errandLimit is for a script that waits for nothing: apt takes 10 s in a guest that has a processor for itself, and minutes where
	// others want it.
	errandLimit = 4 * time.Minute
)

// debians are guests of Debian, booted once for many tests.
type debians struct {
	work    string
	plan    Plan
	errands []int // so far, by guest
	done    chan struct{}
	result  *Result // once done
	err     error
}

// bootDebians boots guests of Debian on one LAN, and does aside meanwhile. They are gone when the test ends.
func bootDebians(t *testing.T, count int, aside func(work string) error) *debians {
	t.Helper()
	plan, err := parse(t, "--program", programDebian, "--nodes", strconv.Itoa(count), "--for", guestsFor.String(), "--settle", "0s")
	if err != nil {
		t.Fatal(err)
	}
	work, err := newWork()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(work) })
	d := &debians{work: work, plan: plan, errands: make([]int, count), done: make(chan struct{})}
	ctx, cancel := context.WithCancel(context.Background())
	began := time.Now()
	go func() {
		defer close(d.done)
		d.result, d.err = runIn(ctx, work, plan, t.Output(), t.Output())
	}()
	t.Cleanup(func() { d.end(t, cancel) })
	if err := aside(work); err != nil {
		t.Fatal(err)
	}
	for !exists(filepath.Join(work, fileGo)) {
		d.alive(t)
		time.Sleep(pollPeriod)
	}
	t.Logf("%d guests of Debian up after %.0f s, mmdebstrap included", count, time.Since(began).Seconds())
	return d
}

// end ends the bed and says whether its clocks were what they were to be.
func (d *debians) end(t *testing.T, cancel func()) {
	if err := touch(filepath.Join(d.work, fileStop)); err != nil {
		t.Error(err)
	}
	select {
	case <-d.done:
	case <-time.After(2 * endLimit):
	}
	cancel()
	<-d.done
	if d.err != nil {
		t.Errorf("the bed: %v", d.err)
		return
	}
	if !d.result.passed() {
		t.Errorf("the bed: %s", verdicts(d.result))
	}
	t.Logf("the bed took %.0f %% of the processors, other work %.0f %%", d.result.Bed.Own*100, d.result.Bed.Others*100)
}

// alive ends the test when the bed has ended.
func (d *debians) alive(t *testing.T) {
	t.Helper()
	select {
	case <-d.done:
		t.Fatalf("the bed has ended: %v", d.err)
	default:
	}
}

// run runs a script in a guest (1 …), at most for limit. A guest has one at a time.
func (d *debians) run(t *testing.T, node int, limit time.Duration, script string) Answer {
	t.Helper()
	d.errands[node-1]++
	number, dir := strconv.Itoa(d.errands[node-1]), guestDir(d.work, node)
	if err := publish(filepath.Join(dir, fileErrand+number), &Errand{Script: script, Limit: limit}); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, fileAnswer+number)
	for patience := time.Now().Add(limit + 30*time.Second); !exists(path); time.Sleep(pollPeriod / 2) {
		d.alive(t)
		if time.Now().After(patience) {
			t.Fatalf("node %d does not answer: %s", node, script)
		}
	}
	var a Answer
	if err := readJSON(path, &a); err != nil {
		t.Fatal(err)
	}
	return a
}

// try runs a script that waits for nothing, and returns its exit code and its output.
func (d *debians) try(t *testing.T, node int, script string) (int, string) {
	t.Helper()
	a := d.run(t, node, errandLimit, script)
	return a.Exit, strings.TrimSpace(a.Output)
}

// must is try for a script that is to end well; a test whose script does not ends there.
func (d *debians) must(t *testing.T, node int, script string) string {
	t.Helper()
	code, out := d.try(t, node, script)
	if code != 0 {
		t.Fatalf("node %d: exit code %d of %s\n%s\n%s", node, code, script, out, d.journal(t, node))
	}
	return out
}

// await waits until a condition of the shell holds in a guest.
func (d *debians) await(t *testing.T, node int, limit time.Duration, condition string) {
	t.Helper()
	a := d.run(t, node, limit, "until "+condition+"; do sleep 0.5; done 2>&1 | tail -n 3")
	if a.Exit != 0 {
		_, state := d.try(t, node, "systemctl status --no-pager --lines=0 meantime")
		t.Fatalf("node %d: not within %v: %s\n%s\n%s\n%s", node, limit, condition, a.Output, state, d.journal(t, node))
	}
}

// journal is the end of what the daemon of a guest has logged.
func (d *debians) journal(t *testing.T, node int) string {
	_, out := d.try(t, node, "journalctl --no-pager -o cat -n 25 -u meantime -u meantime-wait-sync")
	return out
}

// each runs a test on every guest, at the same time.
func (d *debians) each(t *testing.T, name string, test func(t *testing.T, node int)) bool {
	return t.Run(name, func(t *testing.T) {
		for i := range d.errands {
			t.Run("node"+strconv.Itoa(i+1), func(t *testing.T) {
				t.Parallel()
				test(t, i+1)
			})
		}
	})
}

// property is what systemd says of the daemon's unit in a guest.
func (d *debians) property(t *testing.T, node int, name string) string {
	t.Helper()
	return d.must(t, node, "systemctl show --value -p "+name+" meantime")
}

// truth is the true state of the guests' clocks between two readings of the counter.
func (d *debians) truth(t *testing.T, from, to int64) []Instant {
	t.Helper()
	e, err := readScene(d.work)
	if err != nil {
		t.Fatal(err)
	}
	var walls []Line
	for i := range d.errands {
		wall, _, err := readLines(filepath.Join(guestDir(d.work, i+1), fileSamples))
		if err != nil {
			t.Fatal(err)
		}
		walls = append(walls, wall.tight())
	}
	list, _ := e.host.timeline(walls, e.host.since(to))
	return slices.DeleteFunc(list, func(i Instant) bool { return i.At < e.host.since(from) })
}

// watch looks at the clocks for a while, or as long as during takes and a little more. It returns the largest true disagreement and the
// largest step: by how much a clock's offset changed from one instant to the next.
func (d *debians) watch(t *testing.T, during func()) (disagreement, step time.Duration) {
	t.Helper()
	from := rdtsc()
	during()
	const after = 3 * time.Second // samples are written once a second
	time.Sleep(after)
	list := d.truth(t, from, rdtsc())
	if len(list) < minSamples {
		t.Fatalf("%d instants at which all clocks are known", len(list))
	}
	var spread, jump float64
	for k, i := range list {
		spread = max(spread, i.spread())
		if k > 0 && i.At-list[k-1].At <= 2*tick {
			for n, o := range i.Offsets {
				jump = max(jump, math.Abs(o-list[k-1].Offsets[n]))
			}
		}
	}
	return time.Duration(spread), time.Duration(jump)
}

// agreed waits until the guests have agreed within a limit for a while.
func (d *debians) agreed(t *testing.T, within, limit time.Duration) time.Duration {
	t.Helper()
	began := rdtsc()
	for deadline := time.Now().Add(limit); ; time.Sleep(time.Second) {
		list := d.truth(t, began, rdtsc())
		if at, ok := together(list, within); ok && list[len(list)-1].At-at >= convergedFor {
			return at - list[0].At
		}
		d.alive(t)
		if time.Now().After(deadline) {
			last := "no clock is known"
			if len(list) > 0 {
				last = fmt.Sprintf("the last true offsets are %.3g ns", list[len(list)-1].Offsets)
			}
			t.Fatalf("the guests do not agree within %v after %v: %s", within, limit, last)
		}
	}
}

// terms are the terms of office that the guests remember, by guest.
func (d *debians) terms(t *testing.T) (list []int) {
	t.Helper()
	for i := range d.errands {
		term, err := strconv.Atoi(d.must(t, i+1, "cat /var/lib/meantime/term"))
		if err != nil {
			t.Fatalf("node %d: %v", i+1, err)
		}
		list = append(list, term)
	}
	return list
}

// requireGuests skips a test that boots Debian unless MEANTIME_REQUIRE names guests; then what is missing fails it.
func requireGuests(t *testing.T) {
	t.Helper()
	requireBed(t, "guests", programDebian)
}

// packages builds what is installed: two versions of the package, and the bare program.
func packages(work string) error {
	dir := filepath.Join(work, "packages")
	for _, version := range []string{versionOld, versionNew} {
		cmd := exec.Command("go", "-C", "../../tools", "run", "./pack", "--root", "..", "--only", "deb/amd64", "--version", "v"+version, "--out", dir)
		cmd.Env = append(os.Environ(), "SOURCE_DATE_EPOCH=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("building the package: %w\n%s", err, out)
		}
	}
	return buildGo(context.Background(), "build", "-o", filepath.Join(work, "packages", "meantime"), "./cmd/meantime")
}
