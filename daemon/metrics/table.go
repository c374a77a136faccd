package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"meantime/daemon/control"
)

// metric is a gauge of what a source tells; value says whether it is known.
type metric[T any] struct {
	desc  *prometheus.Desc
	value func(T) (value float64, known bool)
}

func (m metric[T]) collect(out chan<- prometheus.Metric, of T, labels ...string) {
	if value, known := m.value(of); known {
		out <- gauge(m.desc, value, labels...)
	}
}

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("meantime_"+name, help, labels, nil)
}

// states, kinds, reasons and voiceNames are all values of a label, so that each has a series from the start: of one that comes up with
// its first count Prometheus would not see the rise.
var (
	states  = []string{"listening", "gathering", "keeping", "following", "joining", "holdover", "panic", "holding"}
	kinds   = []string{"polls", "replies", "acks", "adjusts", "elections"}
	reasons = []string{
		"truncated", "oversized", "foreign", "key", "kind", "value", "group", "duplicate", "stale", "unasked", "dry", "role", "range", "full",
		"busy", "untrusted", "excluded", "stepping", "crowding", "astray", "kernel",
	}
	voiceNames = []string{
		"counted", "not heard", "heard, but not measured", "newcomer, being brought to LAN time", "dry run, steers no real clock",
		"on another LAN's time still", "obeys another master", "measured too badly", "off the majority's time",
		"lost its vote: off the majority's time", "no majority agrees",
	}
)

// What has labels or is a counter.
var (
	info = describe("info", "1; the labels say which node this is. Members of one LAN have one lineage.",
		"id", "name", "role", "lineage", "key")
	masterInfo = describe("master_info", "1; the labels say whom this node obeys: itself, where it is master. No series: nobody.",
		"master", "name", "address")
	state = describe("state", "1 for the state the node is in, 0 for the others. keeping (the master's) and following are good; listening, "+
		"gathering and joining pass by themselves; holdover, holding and panic want somebody who looks.", "state")
	received = describe("packets_received_total", "Packets taken, by kind.", "kind")
	sent     = describe("packets_sent_total", "Packets sent.")
	dropped  = describe("packets_dropped_total", "Datagrams that were not taken, by reason. A few are normal; many of reason key come from a "+
		"host with another key file, or from an attacker.", "reason")
	expected = describe("replies_expected_total", "Replies that a master could expect: of members that it had heard in the round before.")
	lost     = describe("replies_lost_total", "Replies expected that did not come. Less than a thousandth is good on a wire, whatever the "+
		"size of the LAN.")
	events = describe("events_total", "What happened since the start, as `meantime events` tells: changes of state and master, steps, "+
		"exclusions, disturbances. A number that stands still is good.")
	memberInfo = describe("member_info", "1; the labels say who the member is.", "id", "name", "address", "standing")
	voices     = describe("members_by_voice", "Members by how their clocks counted in the last round; on the master. All counted is "+
		"good.", "voice")
	series = describe("member_series", "Members with series of their own here: all, up to 256. The counts are of all members.")
)

// ofStatus are the gauges of a node and its LAN.
var ofStatus = []metric[control.Status]{
	{describe("synchronised", "1 if this clock follows LAN time, 0 if nothing bounds how far it is off."),
		func(s control.Status) (float64, bool) {
			return truth(s.Bound != nil && (s.State == "keeping" || s.State == "following")), true
		}},
	{describe("offset_seconds", "Of this clock from where its node wants it: still to be slewed. Microseconds are good."),
		func(s control.Status) (float64, bool) { return float64(s.Offset), true }},
	{describe("bound_seconds", "How far this clock may be from LAN time, at most. No series: nothing bounds it. Below 1 ms is good on "+
		"a wire."),
		func(s control.Status) (float64, bool) { return seconds(s.Bound) }},
	{describe("scatter_seconds", "How far rounds scatter about the line that was laid through them: the noise of network and clocks."),
		func(s control.Status) (float64, bool) { return seconds(s.Scatter) }},
	{describe("frequency_adjustment_ratio", "What this clock's rate is multiplied by, as node_timex_frequency_adjustment_ratio. Within "+
		"0.0001 (100 ppm) of 1 is good for a quartz."),
		func(s control.Status) (float64, bool) { return ratio(s.Frequency), true }},
	{describe("master", "1 if this node is master. One in a LAN is good; without one each clock is on its own, two make two times."),
		func(s control.Status) (float64, bool) { return truth(s.Master != "" && s.Master == s.ID), true }},
	{describe("term", "Term of office that this node obeys. It rises with each election."),
		func(s control.Status) (float64, bool) { return float64(s.Term), true }},
	{describe("members", "Members of the LAN, as its master tells."),
		func(s control.Status) (float64, bool) { return float64(s.Members), true }},
	{describe("voters", "Members whose clocks make LAN time. As many as members is good."),
		func(s control.Status) (float64, bool) { return float64(s.Voters), true }},
	{describe("turns", "Rounds in which each member has all its exchanges once: 1, but for a LAN of more members than full_rounds_to; on the "+
		"master."),
		func(s control.Status) (float64, bool) { return float64(s.Turns), s.Turns > 0 }},
	{describe("reply_window_seconds", "Within which the replies of a round are sent; on the master. It grows where the master is late."),
		func(s control.Status) (float64, bool) { return seconds(s.Window) }},
	{describe("spread_seconds", "Largest minus smallest offset of the voters' clocks in the last round. Below 1 ms is good on a wire; "+
		"it is more while a clock is still slewed to LAN time."),
		func(s control.Status) (float64, bool) { return seconds(s.Spread) }},
	{describe("last_poll_age_seconds", "Since the last poll that was sent or obeyed. Below three poll intervals is good. No series: never "+
		"yet."),
		func(s control.Status) (float64, bool) { return seconds(s.LastPoll) }},
	{describe("poll_interval_seconds", "From poll to poll, at present."),
		func(s control.Status) (float64, bool) { return float64(s.Interval), true }},
	{describe("interference", "Other programs and hands seen at this clock. 0 is good: two that set one clock fight."),
		func(s control.Status) (float64, bool) { return float64(len(s.Interference)), true }},
	{describe("keys_held", "Keys under which packets are taken. 1 is good, 2 while keys are changed; 0 is a LAN that authenticates nothing."),
		func(s control.Status) (float64, bool) { return float64(s.KeysHeld), true }},
	{describe("kernel_stamps", "1 if the kernel stamps packets, 0 if this process does, which is some 30 µs worse."),
		func(s control.Status) (float64, bool) { return truth(s.KernelStamps), true }},
	{describe("dry_run", "1 if a virtual clock is steered, and no real one."),
		func(s control.Status) (float64, bool) { return truth(s.DryRun), true }},
	{describe("uptime_seconds", "Since the daemon's start, by an oscillator that nobody steers."),
		func(s control.Status) (float64, bool) { return float64(s.Uptime), true }},
}

// ofMember are the gauges of one member, as the node that answers knows it. Only a master knows all.
var ofMember = []metric[control.Member]{
	{describe("member_offset_seconds", "Of the member's clock from LAN time, as measured. Microseconds are good.", "id"),
		func(m control.Member) (float64, bool) { return seconds(m.Offset) }},
	{describe("member_delay_seconds", "To the member and back.", "id"),
		func(m control.Member) (float64, bool) { return seconds(m.Delay) }},
	{describe("member_bound_seconds", "How wrong the measurement of the member's offset may be, at most.", "id"),
		func(m control.Member) (float64, bool) { return seconds(m.Bound) }},
	{describe("member_jitter_seconds", "Usual change of the member's measured offset from round to round.", "id"),
		func(m control.Member) (float64, bool) { return seconds(m.Jitter) }},
	{describe("member_frequency_adjustment_ratio", "What the member's rate is multiplied by, by its own word.", "id"),
		func(m control.Member) (float64, bool) {
			if m.Frequency == nil {
				return 0, false
			}
			return ratio(*m.Frequency), true
		}},
	{describe("member_votes", "1 if the member's clock counted in the last round, 0 if not: `meantime members` says why not.", "id"),
		func(m control.Member) (float64, bool) { return truth(m.Votes != nil && *m.Votes), m.Votes != nil }},
	{describe("member_heard_age_seconds", "Since the member's last answer. Below three poll intervals is good; after ten it is forgotten.",
		"id"),
		func(m control.Member) (float64, bool) { return seconds(m.Heard) }},
}

// seconds is a duration that may be unknown.
func seconds(s *control.Seconds) (float64, bool) {
	if s == nil {
		return 0, false
	}
	return float64(*s), true
}

// ratio is what a correction in ppm multiplies a rate by.
func ratio(ppm float64) float64 { return 1 + ppm/1e6 }
