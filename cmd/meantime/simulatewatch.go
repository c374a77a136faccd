package main

import (
	"encoding/csv"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"meantime/daemon/sim"
)

// watcher looks at runs while they are made: it draws the progress and keeps what --csv and --plot ask for.
type watcher struct {
	out    *ui
	trials []trial
	began  time.Time
	drawn  time.Time
	done   time.Duration // simulated, of the runs made
	total  time.Duration

	table   *csv.Writer // nil: none is asked for
	picture *os.File    // nil: none is asked for
	files   []*os.File
	past    history
}

const (
	progressAfter = time.Second            // a run that is over sooner shows none
	progressEvery = 100 * time.Millisecond // from one drawing to the next
	progressWidth = 16                     // cells of the bar, so that the line fits 80 columns
)

// watchRuns opens the files that are asked for, so that a long run does not end at one that cannot be written.
func watchRuns(out *ui, o simulateOptions) (*watcher, error) {
	w := &watcher{out: out, trials: o.trials(), began: time.Now()}
	for _, t := range w.trials {
		w.total += t.length
	}
	for _, name := range []string{o.CSV, o.Plot} {
		if name == "" {
			continue
		}
		file, err := os.Create(name)
		if err != nil {
			return nil, hinted{err, "name a file in a folder that you may write to"}
		}
		w.files = append(w.files, file)
		if name == o.Plot {
			w.picture = file
			continue
		}
		w.table = csv.NewWriter(file)
	}
	return w, nil
}

// run makes one run.
func (w *watcher) run(t trial) (sim.Report, error) {
	var observe func(sim.Point)
	if w.table != nil || w.picture != nil || w.out.watched() {
		observe = func(p sim.Point) { w.look(t, p) }
	}
	report, err := t.run(observe)
	w.done += t.length
	return report, err
}

// look sees a simulated second.
func (w *watcher) look(t trial, p sim.Point) {
	if w.table != nil {
		w.row(p)
	}
	if w.picture != nil {
		w.past.add(p)
	}
	if now := time.Now(); now.Sub(w.began) >= progressAfter && now.Sub(w.drawn) >= progressEvery {
		w.drawn = now
		w.out.progress(progressLine(t, w.done+p.At, w.total, now.Sub(w.began)))
	}
}

// row writes a line of the table: the time and each host's offset from true time in seconds, empty for a host that is down.
func (w *watcher) row(p sim.Point) {
	if p.At <= time.Second { // the first
		head := []string{"seconds", "master"}
		for i := range p.Offsets {
			head = append(head, fmt.Sprintf("host %d", i))
		}
		_ = w.table.Write(head) // an error stays and shows at the end
	}
	row := []string{seconds(p.At), ""}
	if p.Master >= 0 {
		row[1] = strconv.Itoa(p.Master)
	}
	for _, o := range p.Offsets {
		text := ""
		if o != sim.Down {
			text = seconds(o)
		}
		row = append(row, text)
	}
	_ = w.table.Write(row)
}

func seconds(d time.Duration) string { return strconv.FormatFloat(d.Seconds(), 'f', 9, 64) }

// end removes the progress and completes the files.
func (w *watcher) end(r run) (err error) {
	w.out.progress("")
	if w.table != nil {
		w.table.Flush()
		err = w.table.Error()
	}
	if w.picture != nil {
		err = errors.Join(err, w.past.draw(w.picture, r))
	}
	for _, file := range w.files {
		err = errors.Join(err, file.Close())
	}
	return err
}

// progressLine is a bar with what is being done.
func progressLine(t trial, done, total, took time.Duration) string {
	part := float64(done) / float64(total)
	full := min(int(part*progressWidth), progressWidth)
	return fmt.Sprintf("%s%s %3.0f %%  %s, seed %d  (%.0f × real time)", strings.Repeat("█", full),
		strings.Repeat("░", progressWidth-full), 100*part, t.name(), t.lan.Seed, done.Seconds()/took.Seconds())
}
