package page

import (
	"testing"
	"time"

	"meantime/daemon/control"
)

// The verdict says in one sentence how the LAN does.
func TestVerdict(t *testing.T) {
	seconds := func(s float64) *control.Seconds { return new(control.Seconds(s)) }
	for _, c := range []struct {
		name   string
		change func(*Sample)
		level  level
		text   string
		detail string
	}{
		{"all agree", func(*Sample) {}, levelGood, "3 hosts agree within 12.0 µs", "This host is master. All of them vote."},
		{"one is odd", func(s *Sample) {
			s.Status.Voters = 2
			s.Members.Members[2].Votes, s.Members.Members[2].Why = new(false), "off the majority's time"
		}, levelWarn, "2 of 3 hosts agree within 12.0 µs", "This host is master. id2: off the majority's time."},
		{"alone", func(s *Sample) { s.Status.Members, s.Status.Voters, s.Status.Spread = 1, 1, nil }, levelWarn, "This host is alone",
			"It is master of a LAN on which it hears nobody else."},
		{"new in office", func(s *Sample) { s.Status.Voters, s.Status.Spread = 0, nil }, levelWait, "This host is master now",
			"It measures the others; its first round counts the votes."},
		{"followed", func(s *Sample) { s.Status.Voters, s.Status.Spread = 1, nil }, levelWarn, "2 hosts follow this one", "No other host votes yet."},
		{"a slave", func(s *Sample) { s.Status.State, s.Status.Master, s.Status.MasterName = "following", "id1", "vega" }, levelGood,
			"3 hosts agree within 12.0 µs", "vega is master. This clock is off by 4.00 µs at most."},
		{"holdover", func(s *Sample) { s.Status.State, s.Status.LastPoll = "holdover", seconds(4.4) }, levelBad, "No master since 4 s",
			"Holdover: this clock holds its frequency while the LAN elects another. This clock is off by 4.00 µs at most."},
		{"far apart", func(s *Sample) { s.Status.Spread = new(control.Seconds(0.25)) }, levelWarn, "3 hosts are 250 ms apart",
			"This host is master. All of them vote."},
		{"slewed", func(s *Sample) { s.Status.State, s.Status.MasterName, s.Status.Offset = "following", "vega", -303007 }, levelWarn,
			"This clock is being slewed to LAN time, 84h10m7s to go", "3 hosts agree within 12.0 µs. vega is master. This clock is off by 4.00 µs at most."},
		{"a master that is slewed", func(s *Sample) { s.Status.Offset = 1.5 }, levelWarn, "This clock is being slewed to LAN time, 1.50 s to go",
			"3 hosts agree within 12.0 µs. This host is master. All of them vote."},
		{"no majority", func(s *Sample) { s.Status.State = "holding" }, levelBad, "No majority agrees since 90 s",
			"This host is master and steers nobody: more than half of the voters have to agree."},
		{"listening", func(s *Sample) { s.Status.State = "listening" }, levelWait, "No master heard for 90 s",
			"This host listens, and stands for master where its role allows it."},
		{"a hand at the clock", func(s *Sample) { s.Status.Interference = []string{"chronyd (pid 7)"} }, levelWarn,
			"3 hosts agree within 12.0 µs", "Others have their hands at this clock: chronyd (pid 7). This host is master. All of them vote."},
	} {
		s := sampleOf(start, 3)
		c.change(&s)
		if v := newVerdict(s, 90*time.Second); v.Level != c.level || v.Text != c.text || v.Detail != c.detail {
			t.Errorf("%s: %+v", c.name, v)
		}
	}
}

// Of a large LAN the table shows so many, whoever does not vote before the others.
func TestRows(t *testing.T) {
	s := sampleOf(start, 4096)
	s.Members.Members[4000].Votes, s.Members.Members[4000].Why = new(false), "not heard"
	v := newView(s, 0)
	if len(v.Rows) != mostRows || v.Rows[1].ID != "id4000" || v.Rows[1].Votes != "no: not heard" || v.Rows[1].Level != levelWarn {
		t.Errorf("%d rows, the second is %+v", len(v.Rows), v.Rows[1])
	}
	if v.Note != "3840 more hosts vote; meantime members lists all of them." {
		t.Error(v.Note)
	}
	s.Members.Complete, s.Members.Master = false, "192.0.2.7"
	if v := newView(s, 0); v.Note != "The master alone measures all hosts: its page, on 192.0.2.7, shows them." {
		t.Error(v.Note)
	}
}

func TestHuman(t *testing.T) {
	for seconds, want := range map[float64]string{
		0: "0 ns", 4e-9: "4 ns", -4e-9: "−4 ns", -4e-10: "0 ns", 1.2345e-6: "1.23 µs", 12.345e-6: "12.3 µs", 999.6e-6: "1.00 ms", -0.25: "−250 ms", 1.5: "1.50 s",
		99.94: "99.9 s", 3725: "1h2m5s",
	} {
		if got := human(new(control.Seconds(seconds))); got != want {
			t.Errorf("%v became %q", seconds, got)
		}
	}
	if human(nil) != notKnown || ppm(nil) != notKnown || ppm(new(-1.5)) != "−1.500 ppm" {
		t.Error("what is not known, or a rate")
	}
	for d, want := range map[time.Duration]string{0: "0 s", 90 * time.Second: "90 s", 5 * time.Minute: "5 min", 72 * time.Hour: "3 days"} {
		if got := age(d); got != want {
			t.Errorf("%v became %q", d, got)
		}
	}
}
