package main

import (
	"bytes"
	"fmt"
	"math"
	"os"

	"meantime/cmd/picture"
)

// plotLoads draws what a member costs in a round against how many there are, both in powers of ten.
func plotLoads(path string, results []*LoadResult) error {
	first, last := math.Inf(1), math.Inf(-1)
	top := 1.0
	master := picture.Line{Color: picture.Clock(0), Width: 2.5}
	crowd := picture.Line{Color: picture.Grey, Width: 1.5}
	for _, r := range results {
		first, last = min(first, math.Log10(float64(r.Plan.Slaves))), max(last, math.Log10(float64(r.Plan.Slaves)))
	}
	var counts []picture.Tick
	for _, r := range results {
		at := math.Log10(float64(r.Plan.Slaves)) - first
		counts = append(counts, picture.Tick{Value: at, Label: fmt.Sprintf("%d slaves", r.Plan.Slaves)})
		for line, cost := range map[*picture.Line]float64{&master: r.Master.PerMember, &crowd: r.Crowd.PerMember} {
			height := math.Log10(max(cost, 1))
			top = max(top, math.Ceil(height))
			line.Seconds, line.Heights = append(line.Seconds, at), append(line.Heights, height)
		}
	}
	var costs []picture.Tick
	for i := 0.0; i <= top; i++ {
		costs = append(costs, picture.Tick{Value: i, Label: fmt.Sprintf("%.0f µs  ", math.Pow(10, i))})
	}
	frame := picture.Frame{
		Width: panelWidth, Height: panelHeight, Top: panelTop, Side: panelSide, Under: panelUnder, Font: panelFont,
		Heights: costs, Times: counts, End: max(last-first, 1),
	}
	var b bytes.Buffer
	err := frame.Render(&b, []picture.Line{crowd, master}, func(p picture.Pen) { drawLoads(p, results, first) })
	if err != nil {
		return fmt.Errorf("--plot: %w", err)
	}
	return os.WriteFile(path, b.Bytes(), 0o644)
}

// labelWidth (pixels) is what the words at a result take at most, and labelLine what a line of them does.
const (
	labelWidth = 90
	labelLine  = 18
)

// drawLoads writes what the picture shows, and each result where it stands.
func drawLoads(p picture.Pen, results []*LoadResult, first float64) {
	text(p, p.Left, 26, panelTitle, picture.Ink, "What a member costs its master: processor time in a round, against the number of members")
	x := 60 + text(p, p.Left, 48, panelFont, picture.Clock(0), "master (and what it takes of a processor and of memory)")
	text(p, x, 48, panelFont, picture.Grey, "all slaves in one process, each a node with a clock of its own")
	for _, r := range results {
		at := p.X(math.Log10(float64(r.Plan.Slaves)) - first)
		m := r.Master
		for i, label := range []string{
			fmt.Sprintf("%.0f µs", m.PerMember), fmt.Sprintf("%.1f %%", m.CPU), fmt.Sprintf("%.0f MiB", m.Memory),
		} {
			text(p, min(at+6, p.Right-labelWidth), p.Top+labelLine*(i+1), panelFont-2, picture.Ink, label)
		}
	}
}
