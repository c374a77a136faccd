// Package metrics shows how a node does to Prometheus. It asks a control.Source and keeps nothing: a scrape reads the copies that the
// daemon hands out to everybody, and no hot path counts anything for it.
//
// Units are seconds and ratios, names follow node_exporter's timex collector where it has the same thing. What is not known has no
// series, rather than a value that looks like one.
package metrics

import (
	"context"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"meantime/daemon/control"
)

// Path is where metrics are, over TCP as over the control socket.
const Path = "/metrics"

const (
	// seriesOf is how many members have series of their own: each has 8, and a master of 10,000 would make 80,000, which is far too much
	// for one target of a Prometheus; 256 make 2,000. Of all members there are counts, by their voices.
	seriesOf = 256
	// patience is how long the source may take. It answers between two packets.
	patience = 5 * time.Second
	// scrapesAtOnce is how many are served at a time. Two collectors of a pair, and somebody who looks.
	scrapesAtOnce = 4
)

// Handler answers with the metrics of a node, and those of the process that answers.
func Handler(source control.Source) http.Handler {
	registry := prometheus.NewRegistry()
	process := collectors.NewProcessCollector(collectors.ProcessCollectorOpts{PidFn: pid})
	registry.MustRegister(Collector(source), collectors.NewGoCollector(), process)
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{
		MaxRequestsInFlight: scrapesAtOnce,
		DisableCompression:  true, // a few kB within a LAN; a compressor holds a megabyte
	})
}

// pid is this process's number in /proc, which may be the machine's, where a namespace gave it another one: that is somebody else's there.
func pid() (int, error) {
	if own, err := os.Readlink("/proc/self"); err == nil {
		return strconv.Atoi(own)
	}
	return os.Getpid(), nil
}

// collector is a prometheus.Collector over a source.
type collector struct{ source control.Source }

// Collector returns the metrics of a node.
func Collector(source control.Source) prometheus.Collector { return collector{source} }

// Describe is a prometheus.Collector's.
func (c collector) Describe(out chan<- *prometheus.Desc) {
	for _, m := range ofStatus {
		out <- m.desc
	}
	for _, m := range ofMember {
		out <- m.desc
	}
	for _, desc := range []*prometheus.Desc{
		info, masterInfo, state, received, sent, dropped, expected, lost, events, memberInfo, voices, series,
	} {
		out <- desc
	}
}

// Collect is a prometheus.Collector's.
func (c collector) Collect(out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	status, err := c.source.Status(ctx)
	if err != nil {
		out <- prometheus.NewInvalidMetric(state, err)
		return
	}
	members, err := c.source.Members(ctx)
	if err != nil {
		out <- prometheus.NewInvalidMetric(voices, err)
		return
	}
	happened, err := c.source.Events(ctx)
	if err != nil {
		out <- prometheus.NewInvalidMetric(events, err)
		return
	}
	collectStatus(out, status)
	collectMembers(out, members)
	out <- counter(events, float64(happened.Lost)+float64(len(happened.Events)))
}

// collectStatus tells of the node and its LAN.
func collectStatus(out chan<- prometheus.Metric, s control.Status) {
	for _, m := range ofStatus {
		m.collect(out, s)
	}
	out <- gauge(info, 1, s.ID, s.Name, s.Role, s.Lineage, s.Key)
	if s.Master != "" {
		out <- gauge(masterInfo, 1, s.Master, s.MasterName, s.MasterAddr)
	}
	for _, name := range states {
		out <- gauge(state, truth(name == s.State), name)
	}
	for _, kind := range kinds {
		out <- counter(received, float64(s.Packets[kind]), kind)
	}
	out <- counter(sent, float64(s.Packets["sent"]))
	if s.Expected != nil && s.Lost != nil {
		out <- counter(expected, float64(*s.Expected))
		out <- counter(lost, float64(*s.Lost))
	}
	for _, reason := range reasons {
		out <- counter(dropped, float64(s.Dropped[reason]), reason)
	}
}

// collectMembers tells of the members: of as many as have a series of their own, and how many have which voice.
func collectMembers(out chan<- prometheus.Metric, all control.Members) {
	count := map[string]int{}
	for _, m := range all.Members {
		if m.Votes != nil {
			count[voiceOf(m)]++
		}
	}
	for _, voice := range voiceNames {
		if all.Complete {
			out <- gauge(voices, float64(count[voice]), voice)
		}
	}
	shown := shownOf(all.Members)
	out <- gauge(series, float64(len(shown)))
	for _, m := range shown {
		out <- gauge(memberInfo, 1, m.ID, m.Name, m.Address, m.Standing)
		for _, metric := range ofMember {
			metric.collect(out, m, m.ID)
		}
	}
}

// shownOf are the members with series of their own: whoever answers, and the others in the order of their ids, so that it is the same ones
// from scrape to scrape.
func shownOf(members []control.Member) []control.Member {
	if len(members) <= seriesOf {
		return members
	}
	shown := slices.Clone(members)
	slices.SortFunc(shown, func(a, b control.Member) int {
		if a.Self != b.Self {
			return int(truth(b.Self) - truth(a.Self))
		}
		return strings.Compare(a.ID, b.ID)
	})
	return shown[:seriesOf]
}

// voiceOf is how a member's clock counted in the last round.
func voiceOf(m control.Member) string {
	if *m.Votes {
		return "counted"
	}
	return m.Why
}

func truth(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}

func gauge(desc *prometheus.Desc, value float64, labels ...string) prometheus.Metric {
	return constant(desc, prometheus.GaugeValue, value, labels)
}

func counter(desc *prometheus.Desc, value float64, labels ...string) prometheus.Metric {
	return constant(desc, prometheus.CounterValue, value, labels)
}

// constant makes a metric of what was read. A label that is no text, of a host called so, is mended: it must not hide the others.
func constant(desc *prometheus.Desc, kind prometheus.ValueType, value float64, labels []string) prometheus.Metric {
	for i, label := range labels {
		labels[i] = strings.ToValidUTF8(label, "?")
	}
	return prometheus.MustNewConstMetric(desc, kind, value, labels...)
}
