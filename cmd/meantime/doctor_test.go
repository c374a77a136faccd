package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"meantime/daemon/doctor"
)

// doctorReport is what a doctor might say.
var doctorReport = doctor.Report{
	Verdict: doctor.Fail,
	Counts:  map[doctor.Verdict]int{doctor.Pass: 2, doctor.Skip: 1, doctor.Warn: 1, doctor.Fail: 1},
	Findings: []doctor.Finding{
		{Group: "meantime", Check: "key", Verdict: doctor.Fail, Found: "/etc/meantime/key: its mode is 0644: others can read or change what only its owner may",
			Advice: "run `chmod 640 /etc/meantime/key`, and `meantime key rotate` if anybody else may have read it"},
		{Group: "meantime", Check: "state directory", Verdict: doctor.Pass, Found: "/var/lib/meantime, of user 123, mode 0700"},
		{Group: "clock", Check: "reading", Verdict: doctor.Pass, Found: "raw oscillator and clock are read within 800ns, 1.2µs at worst"},
		{Group: "clock", Check: "trial", Verdict: doctor.Skip, Found: "the clock is not touched unless asked", Advice: "`meantime doctor --try-clock` as root"},
		{Group: "network", Check: "medium", Subject: "wlan0", Verdict: doctor.Warn, Found: "Wi-Fi: packets wait for beacons", Advice: "a cable is better"},
	},
}

// TestDoctorScreens: the report fits its screen, says the same on each, and is painted only where colours are wanted.
func TestDoctorScreens(t *testing.T) {
	words := func(text string) string {
		return strings.Join(strings.Fields(strings.NewReplacer("µs", "us", "\x1b[32m", "", "\x1b[33m", "", "\x1b[31m", "", "\x1b[0m", "").Replace(text)), " ")
	}
	var all strings.Builder
	for _, s := range []screen{{}, {width: 100}, {width: 72, ascii: true}, {width: 40, ascii: true}} {
		text := showReport(doctorReport, s)
		for line := range strings.Lines(text) {
			if width := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); s.width > 0 && width > s.width {
				t.Errorf("%d columns: %d letters: %s", s.width, width, line)
			}
		}
		if got, want := words(text), words(showReport(doctorReport, screen{})); got != want {
			t.Errorf("%d columns: %s\nwant %s", s.width, got, want)
		}
		s.colour = true
		if got := showReport(doctorReport, s); strings.Count(got, "\x1b[3") != 4 || words(got) != words(text) {
			t.Errorf("in colour: %q", got)
		}
		all.WriteString(text + "\n")
	}
	path := filepath.Join("testdata", "doctor.golden")
	if want, err := os.ReadFile(path); err != nil || all.String() != string(want) {
		t.Errorf("%v, got\n%s", err, all.String())
	}
}

// A configuration that is not there is no matter of who may read it.
func TestPatientWithoutFile(t *testing.T) {
	m, err := patient(filepath.Join(t.TempDir(), "none"), nil)
	if err != nil || !errors.Is(m.Problems, fs.ErrNotExist) || !strings.HasSuffix(m.Problems.Error(), "; without --config, none is needed)") {
		t.Errorf("%v, %v", m.Problems, err)
	}
}
